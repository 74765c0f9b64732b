"""Lines that Whisper and its relatives make up where nobody speaks: they were trained on subtitles of videos.

Pure. Driven by whisper.py. Sources: openai/whisper discussion 679 and what its users report in many languages."""

from __future__ import annotations

import re

_BELOW_VIDEOS = """
Thanks for watching! | Thank you for watching. | Thank you so much for watching. | Thank you very much for watching.
Please subscribe. | Like and subscribe. | Please like and subscribe. | Don't forget to like and subscribe.
Please subscribe to my channel. | Thank you for watching, please subscribe. | See you in the next video.
I'll see you in the next video. | Subtitles by the Amara.org community | Transcribed by https://otter.ai
Transcription by CastingWords | Untertitel der Amara.org-Community | Untertitelung des ZDF für funk, 2017
Untertitel im Auftrag des ZDF für funk, 2017 | Untertitelung aufgrund der Amara.org-Community
Vielen Dank fürs Zuschauen! | Danke fürs Zuschauen! | Abonnez-vous !
Sous-titres réalisés par la communauté d'Amara.org | Merci d'avoir regardé cette vidéo ! | Sous-titrage ST' 501
Sous-titrage Société Radio-Canada | Subtítulos realizados por la comunidad de Amara.org
Subtítulos por la comunidad de Amara.org | Gracias por ver el video. | ¡Suscríbete al canal!
Sottotitoli creati dalla comunità Amara.org | Sottotitoli e revisione a cura di QTSS
Legendas pela comunidade Amara.org | Obrigado por assistir! | Inscreva-se no canal!
Ondertitels ingediend door de Amara.org gemeenschap | Napisy stworzone przez społeczność Amara.org
Altyazı M.K. | İzlediğiniz için teşekkür ederim. | Abone olmayı unutmayın. | Спасибо за просмотр!
Продолжение следует... | Субтитры сделал DimaTorzok | Субтитры создавал DimaTorzok
ご視聴ありがとうございました | 最後までご視聴ありがとうございました | 次の動画でお会いしましょう
시청해주셔서 감사합니다 | 请不吝点赞 订阅 转发 打赏支持明镜与点点栏目 | 字幕由Amara.org社区提供
"""
_SAID_BY_CALLERS_TOO = """
Thank you. | Thank you very much. | Thank you so much. | Thanks. | You | Bye. | Bye-bye. | Okay. | OK | So | Oh
Yeah. | Hmm. | Mm-hmm. | I'm sorry. | I don't know. | Vielen Dank. | Danke. | Tschüss. | Merci. | Gracias. | Grazie.
Obrigado. | Bedankt. | Спасибо. | ありがとうございました | 감사합니다 | 谢谢 | 谢谢大家
"""


def plain(text: str) -> str:
    """Words without case, apostrophes and punctuation."""
    joined = re.sub(r"['’]", "", text.casefold())
    return " ".join(re.sub(r"[^\w\s]|_", " ", joined).split())


def _lines(text: str) -> frozenset[str]:
    return frozenset(plain(line) for line in re.split(r"[|\n]", text)) - {""}


def may_become_phantom(text: str) -> bool:
    """Could this be the beginning of such a line, as it streams?"""
    words = plain(text)
    return any(line.startswith(words) for line in NEVER_SAID)


NEVER_SAID = _lines(_BELOW_VIDEOS)  # to a telephone, that is
OFTEN_MADE_UP = _lines(_SAID_BY_CALLERS_TOO)
