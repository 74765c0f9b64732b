"""Dots that end no sentence, language by language. Data only: sentence.py asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dots:
    """Words, in small letters and without their last dot.

    never: something must follow, the dot ends nothing. number: it ends a sentence unless a number follows. capital: it
    ends one only if a capital follows. months, ranked: a language that writes ordinals with a dot has them; behind
    `3.` comes a month, or a noun if one of `ranked` stands in front.
    """

    never: frozenset[str]
    number: frozenset[str]
    capital: frozenset[str]
    months: frozenset[str] = frozenset()
    ranked: frozenset[str] = frozenset()


def _dots(never: str, number: str, capital: str, months: str = "", ranked: str = "") -> Dots:
    return Dots(*(frozenset(text.split()) for text in (never, number, capital, months, ranked)))


DOTS = {
    "en": _dots(
        never="mr mrs ms mx dr prof messrs rev hon gen sen rep gov capt cpt lt sgt vs approx e.g i.e cf viz mt",
        number="no nos fig vol p pp ext tel apt art sec ch jan feb mar apr jun jul aug sep sept oct nov dec",
        capital="a.m p.m u.s u.k e.u u.n etc al inc ltd co corp jr sr bros llc plc dept est blvd rd ave min max st",
    ),
    "de": _dots(
        never="""hr hrn fr frl dr prof dipl ing mag z.b d.h u.a bzw ca inkl exkl evtl ggf vgl sog zzgl o.g s.o i.d.r
            z.t u.u z.hd i.a e.v tägl max min mind st""",
        number="nr nrn kap abs abb s bd tel fax art jan feb mär apr jun jul aug sep sept okt nov dez",
        capital="usw etc str u.s.w u.v.m o.ä co gmbh mio mrd std min sek",
        months="januar jänner februar märz april mai juni juli august september oktober november dezember",
        ranked="""am im um ab vom zum zur beim der die das dem den des ein eine einen einem einer seit bis und oder
            jeder jede jedes jeden jedem unser unsere unserem unseren ihr ihre ihrem ihren""",
    ),
    "fr": _dots(
        never="m mm mme mlle mgr dr pr me st ste p.ex ex p c.-à-d env cf av bd apr",
        number="n no art p pp vol fig tél janv févr avr juil sept oct nov déc",
        capital="etc s.a cie éd",
    ),
    "es": _dots(
        never="ee sr sra srta sres dr dra d dña ud uds vd vds prof p.ej p aprox av avda c/ cía excmo ilmo lic ing gral",
        number="núm núms nº no art pág págs tel teléf cap vol ene feb mar abr jun jul ago sep sept oct nov dic",
        capital="etc uu ee.uu a.m p.m s.a s.l d.c a.c",
    ),
    "it": _dots(
        never="sig sig.ra sig.na sigg dott dott.ssa prof prof.ssa ing avv geom rag on dr ecc.mo p.es es ca c.so v.le",
        number="n nr art pag pagg cap tel vol fig gen feb mar apr mag giu lug ago set sett ott nov dic",
        capital="ecc etc s.p.a s.r.l a.c d.c",
    ),
    "pt": _dots(
        never="ee sr sra srta srs dr dra d prof profa eng arq v.exa exmo exma p.ex av r aprox",
        number="n nº núm art pág págs tel cap vol jan fev mar abr mai jun jul ago set out nov dez",
        capital="etc s.a lda ltda a.c d.c",
    ),
    "nl": _dots(
        never="dhr mevr mw dr drs ir ing mr prof bijv bv o.a d.w.z i.p.v m.b.t t.a.v incl excl evt ca resp st",
        number="nr nrs blz art tel hfst jan feb mrt apr jun jul aug sep sept okt nov dec",
        capital="enz etc b.v n.v e.d",
    ),
}
"""By the two letters of the language."""

NO_DOTS = _dots("dr prof", "no nr tel", "etc")  # of a language that is not here
