"""What tasks say in French, Spanish, Italian and Portuguese: line by line what ENGLISH (wording_tables.py) has."""

from __future__ import annotations

FRENCH = """\
Pardon, je n'ai pas compris.
Dites oui ou non, s'il vous plaît.
{value}. C'est bien ça ?
C'est bien ça ?
Pouvez-vous me donner ceci : {label} ?
Dites ou tapez les {count} chiffres un par un : {label}.
Dites ou tapez les chiffres un par un : {label}.
Et la suite ?
Cela fait {count} chiffres, c'est trop.
Tapez ou dites votre code secret.
J'ai {count} chiffres. Est-ce tout ?
Quel est votre numéro de téléphone ?
Dites votre numéro de téléphone avec l'indicatif, chiffre par chiffre.
Tapez votre numéro de téléphone avec l'indicatif.
Je ne connais pas ce numéro de téléphone.
plus {value}. C'est bien ça ?
Dites ou tapez le numéro de votre carte.
Tapez le long numéro au recto de votre carte.
Et la date d'expiration, mois et année ?
Ce numéro de carte n'est pas valable.
Cette carte a expiré.
La carte qui finit par {digits}, valable jusqu'en {month} {year}. C'est bien ça ?
Dites oui ou non, s'il vous plaît. {question}
C'est un oui. C'est bien ça ?
C'est un non. C'est bien ça ?
Choisissez, s'il vous plaît : {choices}.
{first} ou {last}
Lequel : {choices} ?
Quel jour ?
Dites le jour et le mois, s'il vous plaît.
Et l'année ?
À quelle heure ?
Dites l'heure, par exemple quinze heures trente.
Quel jour et à quelle heure ?
Dites un jour et une heure, par exemple vendredi à quinze heures.
Quel jour ?
Ce jour est passé.
Ce jour n'est pas encore venu.
Cette heure est passée.
Le premier jour possible est {day}.
Le dernier jour possible est {day}.
L'heure la plus tôt est {hour}.
L'heure la plus tard est {hour}.
À {hour}. C'est bien ça ?
{day} à {hour}. C'est bien ça ?
Quelle est votre date de naissance ?
Quel est votre nom, s'il vous plaît ?
Quel est votre prénom, s'il vous plaît ?
Quel est votre nom de famille, s'il vous plaît ?
Pouvez-vous répéter votre nom, s'il vous plaît ?
Épelez votre nom de famille, s'il vous plaît.
Et votre nom de famille ?
Et votre prénom ?
Pouvez-vous l'épeler, s'il vous plaît ?
{value}, épelé {letters}. C'est bien ça ?
Quelle est votre adresse e-mail ?
Dites votre adresse e-mail lentement, avec arobase et point.
Épelez votre adresse e-mail, lettre par lettre.
{value}. C'est {letters}, arobase {domain}. C'est bien ça ?
Quelle est votre adresse ? Commencez par le numéro et la rue.
Dites le numéro et la rue, s'il vous plaît.
Quels sont le numéro et la rue ?
Et le code postal ?
Et la ville ?
Et le numéro ?
{street}, {city}, code postal {postcode}. C'est bien ça ?
Je répète. {lines} Tout est juste ?
Tout est juste ?
Que dois-je changer : {topics} ?
numéro
nom
prénom
nom de famille
numéro de téléphone
adresse e-mail
adresse
date
heure
jour et heure
choix
réponse
"""
SPANISH = """\
Perdone, no le he entendido.
Diga sí o no, por favor.
{value}. ¿Es correcto?
¿Es correcto?
¿Puede darme lo siguiente: {label}?
Diga o marque los {count} dígitos uno por uno: {label}.
Diga o marque los dígitos uno por uno: {label}.
¿Y el resto?
Son {count} dígitos, son demasiados.
Marque o diga su PIN, por favor.
Tengo {count} dígitos. ¿Eso es todo?
¿Cuál es su número de teléfono?
Diga su número de teléfono con prefijo, dígito por dígito.
Marque su número de teléfono con prefijo.
No conozco ese número de teléfono.
más {value}. ¿Es correcto?
Diga o marque el número de su tarjeta.
Marque el número largo del anverso de su tarjeta.
¿Y la fecha de caducidad, mes y año?
Ese número de tarjeta no es válido.
Esa tarjeta ha caducado.
La tarjeta que termina en {digits}, válida hasta {month} de {year}. ¿Es correcto?
Diga sí o no, por favor. {question}
Eso es un sí. ¿Es correcto?
Eso es un no. ¿Es correcto?
Elija, por favor: {choices}.
{first} o {last}
¿Cuál: {choices}?
¿Qué día?
Diga el día y el mes, por favor.
¿Y el año?
¿A qué hora?
Diga la hora, por ejemplo las tres y media de la tarde.
¿Qué día y a qué hora?
Diga un día y una hora, por ejemplo el viernes a las tres.
¿Qué día?
Ese día ya ha pasado.
Ese día aún no ha llegado.
Esa hora ya ha pasado.
El primer día posible es {day}.
El último día posible es {day}.
La hora más temprana es {hour}.
La hora más tardía es {hour}.
A las {hour}. ¿Es correcto?
{day} a las {hour}. ¿Es correcto?
¿Cuál es su fecha de nacimiento?
¿Cómo se llama, por favor?
¿Cuál es su nombre de pila, por favor?
¿Cuál es su apellido, por favor?
¿Puede repetirme su nombre, por favor?
Deletree su apellido, por favor.
¿Y su apellido?
¿Y su nombre de pila?
¿Puede deletrearlo, por favor?
{value}, deletreado {letters}. ¿Es correcto?
¿Cuál es su correo electrónico?
Diga su correo electrónico despacio, con arroba y punto.
Deletree su correo electrónico, letra por letra.
{value}. Es {letters}, arroba {domain}. ¿Es correcto?
¿Cuál es su dirección? Empiece por la calle y el número.
Diga la calle y el número, por favor.
¿Cuáles son la calle y el número?
¿Y el código postal?
¿Y la ciudad?
¿Y el número de la casa?
{street}, {city}, código postal {postcode}. ¿Es correcto?
Se lo repito. {lines} ¿Está todo bien?
¿Está todo bien?
¿Qué debo cambiar: {topics}?
número
nombre
nombre de pila
apellido
número de teléfono
correo electrónico
dirección
fecha
hora
día y hora
elección
respuesta
"""
ITALIAN = """\
Mi scusi, non ho capito.
Dica sì o no, per favore.
{value}. È giusto?
È giusto?
Può dirmi quanto segue: {label}?
Dica o digiti le {count} cifre una per una: {label}.
Dica o digiti le cifre una per una: {label}.
E il resto?
Erano {count} cifre, sono troppe.
Digiti o dica il suo PIN, per favore.
Ho {count} cifre. È tutto?
Qual è il suo numero di telefono?
Dica il suo numero di telefono con il prefisso, cifra per cifra.
Digiti il suo numero di telefono con il prefisso.
Non conosco questo numero di telefono.
più {value}. È giusto?
Dica o digiti il numero della sua carta.
Digiti il numero lungo sul fronte della sua carta.
E la scadenza, mese e anno?
Questo numero di carta non è valido.
Questa carta è scaduta.
La carta che finisce con {digits}, valida fino a {month} {year}. È giusto?
Dica sì o no, per favore. {question}
È un sì. È giusto?
È un no. È giusto?
Scelga, per favore: {choices}.
{first} o {last}
Quale: {choices}?
Quale giorno?
Dica il giorno e il mese, per favore.
E l'anno?
A che ora?
Dica l'ora, per esempio le tre e mezza del pomeriggio.
Quale giorno e a che ora?
Dica un giorno e un'ora, per esempio venerdì alle tre.
Quale giorno?
Quel giorno è passato.
Quel giorno deve ancora venire.
Quell'ora è passata.
Il primo giorno possibile è {day}.
L'ultimo giorno possibile è {day}.
L'ora più presto è {hour}.
L'ora più tardi è {hour}.
Alle {hour}. È giusto?
{day} alle {hour}. È giusto?
Qual è la sua data di nascita?
Come si chiama, per favore?
Qual è il suo nome di battesimo, per favore?
Qual è il suo cognome, per favore?
Può ripetermi il suo nome, per favore?
Dica il suo cognome lettera per lettera, per favore.
E il suo cognome?
E il suo nome di battesimo?
Può dirlo lettera per lettera, per favore?
{value}, lettera per lettera {letters}. È giusto?
Qual è il suo indirizzo e-mail?
Dica il suo indirizzo e-mail lentamente, con chiocciola e punto.
Dica il suo indirizzo e-mail lettera per lettera.
{value}. Cioè {letters}, chiocciola {domain}. È giusto?
Qual è il suo indirizzo? Cominci con la via e il numero civico.
Dica la via e il numero civico, per favore.
Quali sono la via e il numero civico?
E il codice postale?
E la città?
E il numero civico?
{street}, {city}, codice postale {postcode}. È giusto?
Ripeto. {lines} È tutto giusto?
È tutto giusto?
Che cosa devo cambiare: {topics}?
numero
nome
nome di battesimo
cognome
numero di telefono
indirizzo e-mail
indirizzo
data
ora
giorno e ora
scelta
risposta
"""
PORTUGUESE = """\
Desculpe, não percebi.
Diga sim ou não, por favor.
{value}. Está certo?
Está certo?
Pode dizer-me o seguinte: {label}?
Diga ou marque os {count} dígitos um a um: {label}.
Diga ou marque os dígitos um a um: {label}.
E o resto?
Foram {count} dígitos, são demasiados.
Marque ou diga o seu PIN, por favor.
Tenho {count} dígitos. É tudo?
Qual é o seu número de telefone?
Diga o seu número de telefone com indicativo, dígito a dígito.
Marque o seu número de telefone com indicativo.
Não conheço esse número de telefone.
mais {value}. Está certo?
Diga ou marque o número do seu cartão.
Marque o número longo na frente do seu cartão.
E a data de validade, mês e ano?
Esse número de cartão não é válido.
Esse cartão já não é válido.
O cartão que termina em {digits}, válido até {month} de {year}. Está certo?
Diga sim ou não, por favor. {question}
É um sim. Está certo?
É um não. Está certo?
Escolha, por favor: {choices}.
{first} ou {last}
Qual: {choices}?
Que dia?
Diga o dia e o mês, por favor.
E o ano?
A que horas?
Diga a hora, por exemplo três e meia da tarde.
Em que dia e a que horas?
Diga um dia e uma hora, por exemplo sexta-feira às três.
Em que dia?
Esse dia já passou.
Esse dia ainda não chegou.
Essa hora já passou.
O primeiro dia possível é {day}.
O último dia possível é {day}.
A hora mais cedo é {hour}.
A hora mais tarde é {hour}.
Às {hour}. Está certo?
{day} às {hour}. Está certo?
Qual é a sua data de nascimento?
Como se chama, por favor?
Qual é o seu primeiro nome, por favor?
Qual é o seu apelido, por favor?
Pode repetir o seu nome, por favor?
Soletre o seu apelido, por favor.
E o seu apelido?
E o seu primeiro nome?
Pode soletrar, por favor?
{value}, soletrado {letters}. Está certo?
Qual é o seu endereço de e-mail?
Diga o seu e-mail devagar, com arroba e ponto.
Soletre o seu e-mail, letra a letra.
{value}. É {letters}, arroba {domain}. Está certo?
Qual é a sua morada? Comece pela rua e pelo número.
Diga a rua e o número, por favor.
Quais são a rua e o número?
E o código postal?
E a cidade?
E o número da porta?
{street}, {city}, código postal {postcode}. Está certo?
Vou repetir. {lines} Está tudo certo?
Está tudo certo?
O que devo mudar: {topics}?
número
nome
primeiro nome
apelido
número de telefone
endereço de e-mail
morada
data
hora
dia e hora
escolha
resposta
"""
