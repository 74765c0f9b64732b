"""What tasks say in German and Dutch: line by line what ENGLISH (wording_tables.py) has."""

from __future__ import annotations

GERMAN = """\
Entschuldigung, das habe ich nicht verstanden.
Bitte sagen Sie ja oder nein.
{value}. Stimmt das?
Stimmt das?
Bitte nennen Sie mir Folgendes: {label}.
Bitte sagen oder tippen Sie die {count} Ziffern einzeln: {label}.
Bitte sagen oder tippen Sie die Ziffern einzeln: {label}.
Und der Rest?
Das waren {count} Ziffern, das sind zu viele.
Bitte tippen oder sagen Sie Ihre PIN.
Ich habe {count} Ziffern. Ist das alles?
Wie ist Ihre Telefonnummer?
Bitte sagen Sie Ihre Telefonnummer mit Vorwahl, Ziffer für Ziffer.
Bitte tippen Sie Ihre Telefonnummer mit Vorwahl ein.
Diese Telefonnummer kenne ich nicht.
plus {value}. Stimmt das?
Bitte sagen oder tippen Sie Ihre Kartennummer.
Bitte tippen Sie die lange Nummer auf der Vorderseite Ihrer Karte ein.
Und das Ablaufdatum, Monat und Jahr?
Das ist keine gültige Kartennummer.
Diese Karte ist abgelaufen.
Die Karte mit den letzten Ziffern {digits}, gültig bis {month} {year}. Stimmt das?
Bitte sagen Sie ja oder nein. {question}
Das ist ein Ja. Stimmt das?
Das ist ein Nein. Stimmt das?
Bitte wählen Sie: {choices}.
{first} oder {last}
Was davon: {choices}?
An welchem Tag?
Bitte nennen Sie Tag und Monat.
Und das Jahr?
Um wie viel Uhr?
Bitte nennen Sie die Uhrzeit, zum Beispiel halb vier am Nachmittag.
An welchem Tag und um wie viel Uhr?
Bitte nennen Sie Tag und Uhrzeit, zum Beispiel Freitag um drei.
An welchem Tag?
Dieser Tag ist vorbei.
Dieser Tag kommt erst noch.
Diese Zeit ist vorbei.
Der erste mögliche Tag ist {day}.
Der letzte mögliche Tag ist {day}.
Die früheste Zeit ist {hour}.
Die späteste Zeit ist {hour}.
Um {hour}. Stimmt das?
{day} um {hour}. Stimmt das?
Wann sind Sie geboren?
Wie heißen Sie, bitte?
Wie ist Ihr Vorname, bitte?
Wie ist Ihr Nachname, bitte?
Könnten Sie mir Ihren Namen noch einmal sagen?
Bitte buchstabieren Sie Ihren Nachnamen.
Und Ihr Nachname?
Und Ihr Vorname?
Könnten Sie das bitte buchstabieren?
{value}, buchstabiert {letters}. Stimmt das?
Wie ist Ihre E-Mail-Adresse?
Bitte sagen Sie Ihre E-Mail-Adresse langsam, mit at und Punkt.
Bitte buchstabieren Sie Ihre E-Mail-Adresse.
{value}. Das ist {letters}, at {domain}. Stimmt das?
Wie ist Ihre Adresse? Bitte beginnen Sie mit Straße und Hausnummer.
Bitte nennen Sie Straße und Hausnummer.
Wie sind Straße und Hausnummer?
Und die Postleitzahl?
Und der Ort?
Und die Hausnummer?
{street}, {city}, Postleitzahl {postcode}. Stimmt das?
Ich wiederhole. {lines} Stimmt alles?
Stimmt alles?
Was soll ich ändern: {topics}?
Nummer
Name
Vorname
Nachname
Telefonnummer
E-Mail-Adresse
Adresse
Datum
Uhrzeit
Tag und Uhrzeit
Auswahl
Antwort
"""
DUTCH = """\
Sorry, dat heb ik niet verstaan.
Zegt u alstublieft ja of nee.
{value}. Klopt dat?
Klopt dat?
Kunt u mij het volgende geven: {label}?
Zeg of toets de {count} cijfers een voor een: {label}.
Zeg of toets de cijfers een voor een: {label}.
En de rest?
Dat waren {count} cijfers, dat zijn er te veel.
Toets of zeg alstublieft uw pincode.
Ik heb {count} cijfers. Is dat alles?
Wat is uw telefoonnummer?
Zeg uw telefoonnummer met het netnummer, cijfer voor cijfer.
Toets uw telefoonnummer in met het netnummer.
Dat telefoonnummer ken ik niet.
plus {value}. Klopt dat?
Zeg of toets alstublieft uw kaartnummer.
Toets het lange nummer op de voorkant van uw kaart in.
En de vervaldatum, maand en jaar?
Dat is geen geldig kaartnummer.
Die kaart is verlopen.
De kaart die eindigt op {digits}, geldig tot {month} {year}. Klopt dat?
Zegt u alstublieft ja of nee. {question}
Dat is een ja. Klopt dat?
Dat is een nee. Klopt dat?
Kiest u alstublieft: {choices}.
{first} of {last}
Welke: {choices}?
Welke dag?
Noemt u alstublieft de dag en de maand.
En het jaar?
Hoe laat?
Noemt u alstublieft het uur, bijvoorbeeld half vier 's middags.
Op welke dag, en hoe laat?
Noemt u alstublieft een dag en een uur, bijvoorbeeld vrijdag om drie uur.
Op welke dag?
Die dag is voorbij.
Die dag moet nog komen.
Die tijd is voorbij.
De eerst mogelijke dag is {day}.
De laatst mogelijke dag is {day}.
De vroegste tijd is {hour}.
De laatste tijd is {hour}.
Om {hour}. Klopt dat?
{day} om {hour}. Klopt dat?
Wat is uw geboortedatum?
Wat is uw naam, alstublieft?
Wat is uw voornaam, alstublieft?
Wat is uw achternaam, alstublieft?
Kunt u uw naam nog een keer zeggen, alstublieft?
Spelt u alstublieft uw achternaam.
En uw achternaam?
En uw voornaam?
Kunt u dat spellen, alstublieft?
{value}, gespeld {letters}. Klopt dat?
Wat is uw e-mailadres?
Zeg uw e-mailadres langzaam, met apenstaartje en punt.
Spel uw e-mailadres, letter voor letter.
{value}. Dat is {letters}, apenstaartje {domain}. Klopt dat?
Wat is uw adres? Begint u met straat en huisnummer.
Noemt u alstublieft straat en huisnummer.
Wat zijn de straat en het huisnummer?
En de postcode?
En de plaats?
En het huisnummer?
{street}, {city}, postcode {postcode}. Klopt dat?
Ik herhaal het. {lines} Klopt alles?
Klopt alles?
Wat moet ik veranderen: {topics}?
nummer
naam
voornaam
achternaam
telefoonnummer
e-mailadres
adres
datum
tijd
dag en tijd
keuze
antwoord
"""
