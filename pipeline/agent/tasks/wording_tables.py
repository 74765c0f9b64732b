"""The sentences of tasks in six languages, by their English: one line each, in this order, in wording_germanic.py and
wording_romance.py. Data for wording.py and parse.py; English itself needs no table."""

from __future__ import annotations

from pipeline.agent.tasks.wording_germanic import DUTCH, GERMAN
from pipeline.agent.tasks.wording_romance import FRENCH, ITALIAN, PORTUGUESE, SPANISH

ENGLISH = (
    "Sorry, I did not get that.",
    "Please say yes or no.",
    "{value}. Is that right?",
    "Is that right?",
    "What is your {label}?",
    "Please say or key in the {count} digits of your {label}, one by one.",
    "Please say or key in the digits of your {label}, one by one.",
    "And the rest?",
    "Those were {count} digits, that is too many.",
    "Please key in or say your PIN.",
    "I have {count} digits. Is that all?",
    "What is your phone number?",
    "Please say your phone number with its area code, digit by digit.",
    "Please key in your phone number with its area code.",
    "That is not a phone number that I know of.",
    "plus {value}. Is that right?",
    "Please say or key in your card number.",
    "Please key in the long number on the front of your card.",
    "And the expiry date, month and year?",
    "That is not a valid card number.",
    "That card has expired.",
    "The card ending in {digits}, valid until {month} {year}. Is that right?",
    "Please say yes or no. {question}",
    "That is a yes. Is that right?",
    "That is a no. Is that right?",
    "Please choose: {choices}.",
    "{first} or {last}",
    "Which one: {choices}?",
    "Which day?",
    "Please name the day and the month.",
    "And the year?",
    "At what time?",
    "Please say the hour, such as half past three in the afternoon.",
    "On which day, and at what time?",
    "Please name a day and an hour, such as Friday at three.",
    "On which day?",
    "That day is over.",
    "That day is still to come.",
    "That time is over.",
    "The first day possible is {day}.",
    "The last day possible is {day}.",
    "The earliest time is {hour}.",
    "The latest time is {hour}.",
    "At {hour}. Is that right?",
    "{day} at {hour}. Is that right?",
    "What is your date of birth?",
    "What is your name, please?",
    "What is your first name, please?",
    "What is your last name, please?",
    "Could you tell me your name once more, please?",
    "Please spell your last name.",
    "And your last name?",
    "And your first name?",
    "Could you spell that for me, please?",
    "{value}, spelled {letters}. Is that right?",
    "What is your e-mail address?",
    "Please say your e-mail address slowly, with at and dot.",
    "Please spell your e-mail address, letter by letter.",
    "{value}. That is {letters}, at {domain}. Is that right?",
    "What is your address? Please begin with street and house number.",
    "Please say street and house number.",
    "What is the street and house number?",
    "And the postcode?",
    "And the city?",
    "And the house number?",
    "{street}, {city}, postcode {postcode}. Is that right?",
    "Let me read that back. {lines} Is everything right?",
    "Is everything right?",
    "What should I change: {topics}?",
    "number",
    "name",
    "first name",
    "last name",
    "phone number",
    "e mail address",
    "address",
    "date",
    "time",
    "date and time",
    "choice",
    "answer",
)


def _table(text: str) -> dict[str, str]:
    return dict(zip(ENGLISH, text.splitlines(), strict=True))


SENTENCES: dict[str, dict[str, str]] = {
    "de": _table(GERMAN),
    "fr": _table(FRENCH),
    "es": _table(SPANISH),
    "it": _table(ITALIAN),
    "nl": _table(DUTCH),
    "pt": _table(PORTUGUESE),
}
WEEKDAYS = {
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag",
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "es": "lunes martes miércoles jueves viernes sábado domingo",
    "it": "lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "nl": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "pt": "segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
}
MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}
DAYS = {
    "de": "{weekday}, {day}. {month}",
    "fr": "{weekday} {day} {month}",
    "es": "{weekday}, {day} de {month}",
    "it": "{weekday} {day} {month}",
    "nl": "{weekday} {day} {month}",
    "pt": "{weekday}, {day} de {month}",
}
HOURS = {
    "de": "{hour}:{minute} Uhr",
    "fr": "{hour}h{minute}",
    "es": "{hour}:{minute}",
    "it": "{hour}:{minute}",
    "nl": "{hour}:{minute} uur",
    "pt": "{hour}:{minute}",
}
YES = {
    "de": "ja jo jawohl genau richtig stimmt korrekt gerne passt",
    "fr": "oui ouais exactement exact voilà parfait correct",
    "es": "sí si claro correcto exacto exactamente vale eso",
    "it": "sì si certo giusto esatto corretto",
    "nl": "ja jawel klopt juist precies correct",
    "pt": "sim certo correto exato exatamente claro",
}
NO = {
    "de": "nein nee nö falsch nicht",
    "fr": "non faux pas",
    "es": "no incorrecto",
    "it": "no sbagliato non",
    "nl": "nee niet fout verkeerd",
    "pt": "não nao errado incorreto",
}
