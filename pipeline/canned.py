"""What an agent says when there is nobody to make up words: apologies, fillers, questions to the silent, farewells.

Pure. By language; agents and plans may say it otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canned:
    """One language's lines. fillers: in order, while an answer takes its time. caller_for_you, may_i_connect: said to
    somebody who may take a caller over. back: after a silence that was our fault. closing: the server stops."""

    apology: str
    still_there: str
    goodbye: str
    noise: str
    failed: str
    fillers: tuple[str, ...]
    caller_for_you: str
    may_i_connect: str
    back: str
    closing: str


ENGLISH = Canned(
    "I am sorry, something went wrong on my side. Could you say that again?",
    "Are you still there?",
    "I cannot hear you, so I will hang up now. Goodbye.",
    "I am sorry, I cannot understand you: there is too much noise on the line.",
    "I am sorry, I cannot go on because of a fault on my side. Please call again later. Goodbye.",
    ("One moment, please.", "I am still working on it.", "Thank you for waiting."),
    "I have a caller on the line for you.",
    "May I connect you? Say yes or press one, say no or press two.",
    "I am sorry for the interruption. Please go on.",
    "I am sorry, I have to end this call now. Please call again in a few minutes. Goodbye.",
)
LINES = {
    "en": ENGLISH,
    "de": Canned(
        "Entschuldigung, bei mir ist etwas schiefgegangen. Könnten Sie das noch einmal sagen?",
        "Sind Sie noch da?",
        "Ich kann Sie nicht hören und lege jetzt auf. Auf Wiederhören.",
        "Entschuldigung, ich kann Sie nicht verstehen: In der Leitung ist zu viel Lärm.",
        "Entschuldigung, wegen einer Störung geht es hier nicht weiter. Bitte rufen Sie später an. Auf Wiederhören.",
        ("Einen Moment, bitte.", "Ich bin noch dabei.", "Danke, dass Sie warten."),
        "Ich habe einen Anruf für Sie.",
        "Darf ich verbinden? Sagen Sie ja oder drücken Sie die Eins, nein oder die Zwei.",
        "Entschuldigung für die Unterbrechung. Bitte fahren Sie fort.",
        "Es tut mir leid, ich muss das Gespräch jetzt beenden. Rufen Sie bitte gleich noch einmal an. Auf Wiederhören.",
    ),
    "fr": Canned(
        "Excusez-moi, j'ai eu un problème. Pouvez-vous répéter ?",
        "Vous êtes toujours là ?",
        "Je ne vous entends pas, je vais donc raccrocher. Au revoir.",
        "Excusez-moi, je ne vous comprends pas : il y a trop de bruit sur la ligne.",
        "Excusez-moi, une panne m'empêche de continuer. Rappelez plus tard, s'il vous plaît. Au revoir.",
        ("Un instant, s'il vous plaît.", "Je m'en occupe.", "Merci de patienter."),
        "J'ai un appel pour vous.",
        "Puis-je vous le passer ? Dites oui ou tapez un, non ou tapez deux.",
        "Excusez cette interruption. Continuez, je vous en prie.",
        "Je suis désolé, je dois mettre fin à cet appel. Rappelez dans quelques minutes, s'il vous plaît. Au revoir.",
    ),
    "es": Canned(
        "Perdone, he tenido un problema. ¿Puede repetirlo?",
        "¿Sigue usted ahí?",
        "No le oigo, así que voy a colgar. Adiós.",
        "Perdone, no le entiendo: hay demasiado ruido en la línea.",
        "Perdone, no puedo continuar por una avería. Llame más tarde, por favor. Adiós.",
        ("Un momento, por favor.", "Sigo en ello.", "Gracias por esperar."),
        "Tengo una llamada para usted.",
        "¿Se la paso? Diga sí o pulse uno, no o pulse dos.",
        "Perdone la interrupción. Continúe, por favor.",
        "Lo siento, tengo que terminar esta llamada. Vuelva a llamar en unos minutos, por favor. Adiós.",
    ),
    "it": Canned(
        "Mi scusi, ho avuto un problema. Può ripetere?",
        "È ancora in linea?",
        "Non la sento, quindi ora chiudo. Arrivederci.",
        "Mi scusi, non la capisco: c'è troppo rumore sulla linea.",
        "Mi scusi, un guasto mi impedisce di continuare. Richiami più tardi, per favore. Arrivederci.",
        ("Un momento, per favore.", "Ci sto lavorando.", "Grazie per l'attesa."),
        "Ho una chiamata per lei.",
        "Posso passarla? Dica sì o prema uno, no o prema due.",
        "Mi scusi per l'interruzione. Continui pure.",
        "Mi dispiace, devo terminare questa chiamata. Richiami tra qualche minuto, per favore. Arrivederci.",
    ),
    "nl": Canned(
        "Sorry, er ging bij mij iets mis. Kunt u dat herhalen?",
        "Bent u er nog?",
        "Ik hoor u niet, dus ik hang nu op. Tot ziens.",
        "Sorry, ik kan u niet verstaan: er is te veel lawaai op de lijn.",
        "Sorry, door een storing kan ik niet verder. Belt u later alstublieft terug. Tot ziens.",
        ("Een ogenblik, alstublieft.", "Ik ben er nog mee bezig.", "Dank u voor het wachten."),
        "Ik heb een beller voor u aan de lijn.",
        "Mag ik doorverbinden? Zeg ja of toets een, nee of toets twee.",
        "Excuses voor de onderbreking. Gaat u verder.",
        "Het spijt me, ik moet dit gesprek nu beëindigen. Belt u over een paar minuten terug. Tot ziens.",
    ),
    "pt": Canned(
        "Desculpe, tive um problema. Pode repetir?",
        "Ainda está aí?",
        "Não o consigo ouvir, por isso vou desligar. Adeus.",
        "Desculpe, não consigo perceber: há demasiado ruído na linha.",
        "Desculpe, não posso continuar por causa de uma avaria. Ligue mais tarde, por favor. Adeus.",
        ("Um momento, por favor.", "Ainda estou a tratar disso.", "Obrigado por esperar."),
        "Tenho uma chamada para si.",
        "Posso passar? Diga sim ou prima um, não ou prima dois.",
        "Desculpe a interrupção. Continue, por favor.",
        "Lamento, tenho de terminar esta chamada. Volte a ligar daqui a alguns minutos, por favor. Adeus.",
    ),
}


def lines(language: str) -> Canned:
    """The lines of a language, English for those that are not known. language: BCP 47 tag."""
    return LINES.get(language.partition("-")[0].lower(), ENGLISH)
