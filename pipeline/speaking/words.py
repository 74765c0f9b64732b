"""The words for figures and signs, language by language. Data only: figures.py knows when to say them.

Number words come from the Unicode CLDR (package unicode-rbnf). A word with `f:` in front is feminine: *eine Stunde*,
*une livre*. `|` parts one from many. A language that is not here reads its numbers to the voice as digits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Words:
    """One language. All texts in small letters unless the language writes capitals."""

    comma: bool  # 3,14 and 1.000 rather than 3.14 and 1,000
    point: tuple[str, str]  # what a decimal comma and a decimal point are called
    pairs: bool  # two decimals are read as one number: trois virgule quatorze
    minus: str
    to: str  # between the ends of a range
    over: str  # between the parts of a fraction
    and_: str
    number: str  # the sign #
    times: str
    months: tuple[str, ...]
    months_short: tuple[str, ...]
    cents: str  # between euros and cents
    money: dict[str, str]  # ISO code → "one|many|one hundredth|many"
    scales: dict[str, str]  # million as written → "one|many"
    of: str  # between a million and its currency
    units: dict[str, str]
    signs: dict[str, str]
    fractions: dict[str, str]
    spelled: dict[str, str]  # what stands in an address → how it is dictated
    markers: str  # words (a pattern) behind which letters and digits are spelled
    shorts: dict[str, str] = field(default_factory=dict)  # abbreviations that a voice may stumble over


EN = Words(
    comma=False,
    point=("comma", "point"),
    pairs=False,
    minus="minus",
    to="to",
    over="over",
    and_="and",
    number="number",
    times="times",
    months=tuple(
        "January February March April May June July August September October November December".split()
    ),
    months_short=tuple("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Sept".split()),
    cents="and",
    money={
        "USD": "dollar|dollars|cent|cents",
        "EUR": "euro|euros|cent|cents",
        "GBP": "pound|pounds|penny|pence",
        "CHF": "franc|francs|centime|centimes",
        "CAD": "Canadian dollar|Canadian dollars|cent|cents",
        "JPY": "yen|yen||",
    },
    scales={
        "thousand": "thousand|thousand",
        "million": "million|million",
        "billion": "billion|billion",
        "trillion": "trillion|trillion",
        "k": "thousand|thousand",
        "K": "thousand|thousand",
        "M": "million|million",
    },
    of="",
    units={
        "%": "percent|percent",
        "°C": "degree Celsius|degrees Celsius",
        "°F": "degree Fahrenheit|degrees Fahrenheit",
        "°": "degree|degrees",
        "km/h": "kilometer per hour|kilometers per hour",
        "mph": "mile per hour|miles per hour",
        "km": "kilometer|kilometers",
        "cm": "centimeter|centimeters",
        "mm": "millimeter|millimeters",
        "m²": "square meter|square meters",
        "m": "meter|meters",
        "kg": "kilogram|kilograms",
        "mg": "milligram|milligrams",
        "g": "gram|grams",
        "lbs": "pound|pounds",
        "lb": "pound|pounds",
        "oz": "ounce|ounces",
        "ft": "foot|feet",
        "ml": "milliliter|milliliters",
        "l": "liter|liters",
        "kWh": "kilowatt hour|kilowatt hours",
        "GB": "gigabyte|gigabytes",
        "MB": "megabyte|megabytes",
        "min": "minute|minutes",
        "h": "hour|hours",
    },
    signs={"@": "at", "=": "equals", "+": "plus", "§": "section", "€": "euro", "$": "dollar", "£": "pound"},
    fractions={
        "1/2": "one half",
        "1/3": "one third",
        "2/3": "two thirds",
        "1/4": "one quarter",
        "3/4": "three quarters",
        "24/7": "twenty-four seven",
    },
    spelled={".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", "+": "plus"},
    markers="code|pin|extension|ext|number|ending in|ends in|id|account|reference|ticket|digits|spelled|"
    "plate|licen[cs]e plate|serial|booking|confirmation|IBAN",
    shorts={
        r"e\.\s?g\.,?": "for example",
        r"i\.\s?e\.,?": "that is",
        r"(?:Dr|dr)\.(?=\s+[A-Z])": "Doctor",
        r"Mr\.": "Mister",
        r"Mrs\.": "Missis",
        r"vs\.": "versus",
        r"approx\.": "approximately",
        r"[Nn]o\.(?=\s?\d)": "number",
    },
)

DE = Words(
    comma=True,
    point=("Komma", "Punkt"),
    pairs=False,
    minus="minus",
    to="bis",
    over="durch",
    and_="und",
    number="Nummer",
    times="mal",
    months=tuple(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split()
    ),
    months_short=tuple("Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez".split()),
    cents="und",
    money={
        "USD": "Dollar|Dollar|Cent|Cent",
        "EUR": "Euro|Euro|Cent|Cent",
        "GBP": "Pfund|Pfund|Penny|Pence",
        "CHF": "Franken|Franken|Rappen|Rappen",
        "CAD": "kanadischer Dollar|kanadische Dollar|Cent|Cent",
        "JPY": "Yen|Yen||",
    },
    scales={
        "Tausend": "Tausend|Tausend",
        "Million": "f:Million|Millionen",
        "Millionen": "f:Million|Millionen",
        "Mio.": "f:Million|Millionen",
        "Milliarde": "f:Milliarde|Milliarden",
        "Milliarden": "f:Milliarde|Milliarden",
        "Mrd.": "f:Milliarde|Milliarden",
    },
    of="",
    units={
        "%": "Prozent|Prozent",
        "°C": "Grad Celsius|Grad Celsius",
        "°F": "Grad Fahrenheit|Grad Fahrenheit",
        "°": "Grad|Grad",
        "km/h": "Kilometer pro Stunde|Kilometer pro Stunde",
        "km": "Kilometer|Kilometer",
        "cm": "Zentimeter|Zentimeter",
        "mm": "Millimeter|Millimeter",
        "m²": "Quadratmeter|Quadratmeter",
        "m": "Meter|Meter",
        "kg": "Kilogramm|Kilogramm",
        "mg": "Milligramm|Milligramm",
        "g": "Gramm|Gramm",
        "ml": "Milliliter|Milliliter",
        "l": "Liter|Liter",
        "kWh": "f:Kilowattstunde|Kilowattstunden",
        "GB": "Gigabyte|Gigabyte",
        "MB": "Megabyte|Megabyte",
        "min": "f:Minute|Minuten",
        "Min.": "f:Minute|Minuten",
        "Std.": "f:Stunde|Stunden",
        "h": "f:Stunde|Stunden",
    },
    signs={
        "@": "ät",
        "=": "gleich",
        "+": "plus",
        "§": "Paragraf",
        "€": "Euro",
        "$": "Dollar",
        "£": "Pfund",
    },
    fractions={
        "1/2": "ein halb",
        "1/3": "ein Drittel",
        "2/3": "zwei Drittel",
        "1/4": "ein Viertel",
        "3/4": "drei Viertel",
        "24/7": "vierundzwanzig sieben",
    },
    spelled={
        ".": "Punkt",
        "@": "ät",
        "/": "Schrägstrich",
        "-": "Bindestrich",
        "_": "Unterstrich",
        "+": "plus",
    },
    markers=r"Code|PIN|\w*[Nn]ummer|Durchwahl|\w*[Kk]ennzeichen|Konto|Aktenzeichen|Ticket|Ziffern|IBAN|endet auf|"
    "buchstabiert",
    shorts={
        r"z\.\s?B\.": "zum Beispiel",
        r"d\.\s?h\.": "das heißt",
        r"u\.\s?a\.": "unter anderem",
        r"usw\.": "und so weiter",
        r"bzw\.": "beziehungsweise",
        r"ca\.": "circa",
        r"inkl\.": "inklusive",
        r"ggf\.": "gegebenenfalls",
        r"Dr\.": "Doktor",
        r"Nr\.": "Nummer",
        r"Tel\.": "Telefon",
        r"Hr\.": "Herr",
        r"Fr\.(?=\s+[A-ZÄÖÜ])": "Frau",
        r"(?<=[a-zäöüß])str\.": "straße",
        r"Str\.": "Straße",
    },
)

FR = Words(
    comma=True,
    point=("virgule", "point"),
    pairs=True,
    minus="moins",
    to="à",
    over="sur",
    and_="et",
    number="numéro",
    times="fois",
    months=tuple(
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split()
    ),
    months_short=(),
    cents="et",
    money={
        "USD": "dollar|dollars|cent|cents",
        "EUR": "euro|euros|centime|centimes",
        "GBP": "f:livre|livres|penny|pence",
        "CHF": "franc|francs|centime|centimes",
        "CAD": "dollar canadien|dollars canadiens|cent|cents",
        "JPY": "yen|yens||",
    },
    scales={
        "mille": "mille|mille",
        "million": "million|millions",
        "millions": "million|millions",
        "M": "million|millions",
        "milliard": "milliard|milliards",
        "milliards": "milliard|milliards",
        "Md": "milliard|milliards",
    },
    of="de",
    units={
        "%": "pour cent|pour cent",
        "°C": "degré Celsius|degrés Celsius",
        "°F": "degré Fahrenheit|degrés Fahrenheit",
        "°": "degré|degrés",
        "km/h": "kilomètre heure|kilomètres heure",
        "km": "kilomètre|kilomètres",
        "cm": "centimètre|centimètres",
        "mm": "millimètre|millimètres",
        "m²": "mètre carré|mètres carrés",
        "m": "mètre|mètres",
        "kg": "kilogramme|kilogrammes",
        "mg": "milligramme|milligrammes",
        "g": "gramme|grammes",
        "ml": "millilitre|millilitres",
        "l": "litre|litres",
        "kWh": "kilowattheure|kilowattheures",
        "Go": "gigaoctet|gigaoctets",
        "Mo": "mégaoctet|mégaoctets",
        "min": "f:minute|minutes",
    },
    signs={
        "@": "arobase",
        "=": "égale",
        "+": "plus",
        "§": "paragraphe",
        "€": "euro",
        "$": "dollar",
        "£": "livre",
    },
    fractions={
        "1/2": "un demi",
        "1/3": "un tiers",
        "2/3": "deux tiers",
        "1/4": "un quart",
        "3/4": "trois quarts",
        "24/7": "vingt-quatre heures sur vingt-quatre",
    },
    spelled={
        ".": "point",
        "@": "arobase",
        "/": "barre oblique",
        "-": "tiret",
        "_": "tiret bas",
        "+": "plus",
    },
    markers="code|PIN|numéro|poste|référence|dossier|plaque|immatriculation|compte|chiffres|IBAN",
    shorts={
        r"p\.\s?ex\.": "par exemple",
        r"c\.-à-d\.": "c'est-à-dire",
        r"M\.(?=\s+[A-ZÀ-Ý])": "Monsieur",
        r"MM\.": "Messieurs",
        r"Mme\b\.?": "Madame",
        r"Mlle\b\.?": "Mademoiselle",
        r"Dr\b\.?(?=\s+[A-ZÀ-Ý])": "Docteur",
        r"[Nn]°\s?(?=\d)": "numéro ",
        r"av\.(?=\s+[A-ZÀ-Ý])": "avenue",
        r"bd\.?(?=\s+[A-ZÀ-Ý])": "boulevard",
        r"env\.": "environ",
        r"tél\.": "téléphone",
    },
)

ES = Words(
    comma=True,
    point=("coma", "punto"),
    pairs=True,
    minus="menos",
    to="a",
    over="entre",
    and_="y",
    number="número",
    times="por",
    months=tuple(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()
    ),
    months_short=(),
    cents="con",
    money={
        "USD": "dólar|dólares|centavo|centavos",
        "EUR": "euro|euros|céntimo|céntimos",
        "GBP": "f:libra|libras|penique|peniques",
        "CHF": "franco|francos|céntimo|céntimos",
        "CAD": "dólar canadiense|dólares canadienses|centavo|centavos",
        "MXN": "peso|pesos|centavo|centavos",
        "JPY": "yen|yenes||",
    },
    scales={"mil": "mil|mil", "millón": "millón|millones", "millones": "millón|millones"},
    of="de",
    units={
        "%": "por ciento|por ciento",
        "°C": "grado Celsius|grados Celsius",
        "°F": "grado Fahrenheit|grados Fahrenheit",
        "°": "grado|grados",
        "km/h": "kilómetro por hora|kilómetros por hora",
        "km": "kilómetro|kilómetros",
        "cm": "centímetro|centímetros",
        "mm": "milímetro|milímetros",
        "m²": "metro cuadrado|metros cuadrados",
        "m": "metro|metros",
        "kg": "kilogramo|kilogramos",
        "mg": "miligramo|miligramos",
        "g": "gramo|gramos",
        "ml": "mililitro|mililitros",
        "l": "litro|litros",
        "kWh": "kilovatio hora|kilovatios hora",
        "GB": "gigabyte|gigabytes",
        "MB": "megabyte|megabytes",
        "min": "minuto|minutos",
        "h": "f:hora|horas",
    },
    signs={
        "@": "arroba",
        "=": "igual a",
        "+": "más",
        "§": "sección",
        "€": "euro",
        "$": "dólar",
        "£": "libra",
    },
    fractions={
        "1/2": "medio",
        "1/3": "un tercio",
        "2/3": "dos tercios",
        "1/4": "un cuarto",
        "3/4": "tres cuartos",
        "24/7": "veinticuatro siete",
    },
    spelled={".": "punto", "@": "arroba", "/": "barra", "-": "guion", "_": "guion bajo", "+": "más"},
    markers="código|PIN|número|extensión|referencia|matrícula|expediente|cuenta|cifras|IBAN",
    shorts={
        r"p\.\s?ej\.": "por ejemplo",
        r"Sr\.": "señor",
        r"Sra\.": "señora",
        r"Srta\.": "señorita",
        r"Dr\.": "doctor",
        r"Dra\.": "doctora",
        r"Uds\.": "ustedes",
        r"Ud\.": "usted",
        r"[Nn]úm\.": "número",
        r"[Nn]\.?º\s?(?=\d)": "número ",
        r"EE\.\s?UU\.": "Estados Unidos",
        r"tel\.": "teléfono",
        r"av\.(?=\s+[A-ZÁ-Ú])": "avenida",
    },
)

LANGUAGES = {"en": EN, "de": DE, "fr": FR, "es": ES}
