"""What is written for the eye: markdown, emoji, signs that no voice should read; and addresses, as one dictates them.

Pure rules for traced.py. Driven by normalise.py; figures are figures.py's business."""

from __future__ import annotations

import re
from re import Match

from pipeline.speaking.traced import Part, Replacement, Rule, keep
from pipeline.speaking.words import EN, LANGUAGES

_EMOJI = (
    "[\U0001f000-\U0001faff\U000e0000-\U000e007f\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u2500-\u27bf\u2b00-\u2bff"
    "\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff\u20e3\u2122\u00a9\u00ae]+"
)

MARKDOWN: tuple[Rule, ...] = (
    (re.compile(r"^[ \t]*(```|~~~).*$", re.M), ""),
    (re.compile(r"<((?:https?://|mailto:)[^\s<>]+|[\w.+-]+@[\w.-]+)>"), keep(1)),
    (re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.S), " "),
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)"), keep(1)),
    (re.compile(r"!?\[([^\[\]]+)\]\[[^\[\]]*\]"), keep(1)),
    (re.compile(r"^[ \t]*#{1,6}[ \t]+(.*?)[ \t#]*$", re.M), keep(1)),
    (re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.M), ""),
    (re.compile(r"^[ \t]*>+[ \t]?", re.M), ""),
    (re.compile(r"^[ \t]*[-*+•‣·]\s+(?:\[[ xX]\]\s+)?", re.M), ""),
    (
        re.compile(r"^[ \t]*(\d{1,3})[.)](\s+)(?=\S)", re.M),
        lambda found: [_copy(found, 1), (", ", *found.span(2))],
    ),
    (re.compile(r"^[-:| \t]*-{3,}[-:| \t]*$", re.M), ""),
    (re.compile(r"^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$", re.M), " "),
    (re.compile(r"[ \t]*\|[ \t]*"), ", "),
    (re.compile(r"\*+(?=\S)([^*]+?)(?<=\S)\*+"), keep(1)),
    (re.compile(r"(?<!\w)_+(?=\S)([^_]+?)(?<=\S)_+(?!\w)"), keep(1)),
    (re.compile(r"~~(.+?)~~"), keep(1)),
    (re.compile(r"`+([^`]*)`+"), keep(1)),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), keep(1)),
    (re.compile(_EMOJI), " "),
)

# Behind everything else: what is still there cannot be said.
LEFTOVERS: tuple[Rule, ...] = (
    (re.compile(r"[*`~^<>{}\[\]\\|]+|(?<!\w)[_#]+|_+(?!\w)"), " "),
    (re.compile(r"\s*[—–]\s*|\s+-{1,3}\s+"), ", "),
    (re.compile(r"\s{2,}|[^\S ]"), " "),
    (re.compile(r"\s+([,.;:!?])(?!\d)"), keep(1)),
    (re.compile(r"([,;:])(?:\s*[,;:])+"), keep(1)),
    (re.compile(r",(?=[.!?])|^[,;:.\s]+(?=\w)"), ""),
)

# ---------------------------------------------------------------- addresses

_HOST = r"(?:[a-zA-Z0-9-]+\.)+[a-zA-Z]{2,}"
_DOMAINS = "com|org|net|edu|gov|info|io|de|fr|es|it|nl|ch|at|uk|eu"
_URL = re.compile(
    rf"(?:https?://(?:www\.)?|www\.){_HOST}(?::\d+)?(?:/[^\s<>()\"]*[^\s<>()\".,;:!?])?/?"
    rf"|(?<![\w@.-])(?:[a-zA-Z0-9-]+\.)+(?:{_DOMAINS})(?:/[^\s<>()\"]*[^\s<>()\".,;:!?])?(?![\w@-])"
)
_EMAIL = re.compile(rf"(?:mailto:)?([\w.+-]+@{_HOST})")


def addresses(language: str) -> tuple[Rule, ...]:
    """URLs and e-mail addresses. language: two letters; without its words, the English ones are said."""
    spelled = LANGUAGES.get(language, EN).spelled

    def dictated(found: Match[str]) -> Replacement:
        text = re.sub(r"^(?:mailto:|https?://)?(?:www\.)?|[?#].*$", "", found.group()).rstrip("/")
        return " ".join("".join(f" {spelled[sign]} " if sign in spelled else sign for sign in text).split())

    return ((_EMAIL, dictated), (_URL, dictated))


def _copy(found: Match[str], group: int) -> Part:
    return found.group(group), *found.span(group)
