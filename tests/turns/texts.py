"""What callers of the set say, and which part of the set each text belongs to.

A text is in one of three parts, by its own hash: what was tuned on one part is judged on words it has never seen."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, TypeVar

Part = Literal["train", "dev", "test"]
PARTS: tuple[Part, ...] = ("train", "dev", "test")
SHARES = {"train": 20, "dev": 40, "test": 40}  # per cent

T = TypeVar("T", str, tuple[str, str])

SENTENCES = (
    "what are your opening hours", "i have a question about my bill", "that is all goodbye", "on friday",
    "i would like to make an appointment", "can i speak to a person please",
    "the train from boston was late again", "my internet is not working since yesterday",
    "i want to cancel my subscription", "where is my parcel", "could you send me the invoice again",
    "i need a new password for my account", "how much does the delivery cost", "i moved to another address",
    "please change my appointment to next week", "do you have a room with two beds for the weekend",
    "i ordered the wrong size", "the heating makes a strange noise", "is doctor miller there today",
    "my card was stolen this morning", "i would like to book a table for four people",
    "who can help me with a broken washing machine", "when does the next bus to the airport leave",
    "i paid this bill two weeks ago", "can you tell me the balance of my account",
    "i got a letter from you that i do not understand", "we need somebody to look at our roof",
    "i am calling about the job in your kitchen", "how long do i have to wait for a new passport",
    "my daughter has a fever and a cough", "i want to know if my prescription is ready",
    "there is no hot water in our building", "can i pay with a credit card", "i forgot my umbrella in your shop",
    "the screen of my phone is broken", "we would like to stay one more night", "i did not get a confirmation",
    "is there a discount for students", "i would like to return a pair of shoes",
    "put me through to the sales department", "my name is spelled wrong on the ticket",
    "you charged me twice in october", "i want to talk about my contract", "my flight was cancelled",
    "could i get an earlier appointment", "it was the blue one with the long sleeves",
    "i think i pressed the wrong button", "the last payment was on the third of may",
    "somebody parked in front of my garage", "i have been a customer for ten years",
)  # fmt: skip

CLAUSES = (
    ("i would like to change my booking", "because i have to travel on friday"),
    ("my number is", "the one that ends with nine"), ("i called you yesterday and", "nobody could help me"),
    ("i want to order the red one", "and two of the small boxes"),
    ("we have a problem with", "the light in the kitchen"), ("could you please send it to", "my office in town"),
    ("i was there at noon", "but the door was locked"), ("it is about the", "letter you sent me last week"),
    ("my wife made a reservation", "under the name of baker"), ("if it is possible", "i would rather come on monday"),
    ("i need to know whether", "you can deliver before christmas"), ("the thing is that", "i do not have a receipt"),
    ("i tried to log in", "and then it said my account is closed"),
    ("well the first one was fine", "the second was broken"),
    ("i would like to speak with", "somebody from the technical team"),
    ("my appointment is on tuesday", "at half past ten"),
    ("you told me to call again when", "the box has arrived"),
    ("i am looking for a present", "for my father who likes fishing"),
    ("he said that", "the car would be ready today"), ("can you check if", "my payment has come through"),
    ("we were four people", "so one plate was missing"), ("the address is", "twenty two park lane"),
    ("i have two questions", "the first is about the price"), ("please tell the doctor", "that i feel much better"),
    ("i have to cancel", "my child is ill"), ("we want to come a day earlier", "if there is a room"),
    ("i thought it was free", "until i saw the bill"), ("it worked for a week", "then the noise came back"),
    ("i would take the train", "but there is a strike tomorrow"), ("my card is valid until", "december next year"),
    ("there are three of us and", "a small dog"), ("first i want to thank you", "for the quick reply"),
    ("the order number is on the", "back of the paper"), ("i do not remember", "i think it was in june"),
    ("i lost my key", "can somebody open the door for me"), ("we agreed on a lower price", "with your colleague"),
)  # fmt: skip

FILLERS = (
    ("um", "i have a question about my contract"), ("well", "i wanted to ask about the price"),
    ("uh", "can you tell me where you are"), ("um i think", "it was on the second of june"),
    ("so", "my washing machine does not work"), ("uh let me see", "it says seventeen on the label"),
    ("um my name is", "robert miller"), ("uh i would like to", "book a room for two nights"),
    ("well you know", "it was not my fault"),
    ("um the", "green one please"), ("uh yes", "i need some help with a form"),
    ("hold on", "i have it here somewhere"), ("um actually", "i would like to come on thursday"),
    ("let me think", "the meeting was before lunch"), ("uh and", "could you also send me a copy"),
    ("um it is about", "an order from last month"), ("well um", "i am not sure which one it was"),
    ("uh wait", "now i found the number"),
    ("so um", "when can i pick it up"), ("one moment", "my wife knows that better"),
)  # fmt: skip

WORDS = (
    "hello",
    "thanks",
    "tomorrow",
    "invoice",
    "monday",
    "support",
    "yesterday",
    "nothing",
    "sales",
    "goodbye",
    "repeat",
    "tuesday",
)

YES_NO = (
    "yes",
    "no",
    "yes please",
    "no thank you",
    "yeah",
    "yes that is right",
    "no not really",
    "nope",
    "yep",
    "correct",
)

DATES = (
    "on friday", "next monday", "tomorrow", "the third of may", "june the second", "on the twelfth of october",
    "december fourth", "this thursday", "march first", "on the twentieth of july", "next tuesday", "today",
)  # fmt: skip

INTERRUPTIONS = (
    "no that is not right", "wait i have a question", "stop please", "can i speak to a person please",
    "i have a question about my bill", "no thank you", "excuse me that is the wrong number",
    "sorry could you say that again", "i do not want that", "hold on i need a pen", "hello can you hear me",
    "that is not what i asked", "please stop", "no no the other one", "i already know that", "what about saturday",
    "how much is it", "i want to talk to somebody else",
    "one question", "just send me the link", "can you repeat that",
    "it is about my other order", "wait", "stop", "that is all goodbye", "what are your opening hours",
    "but i paid already", "that was last year", "is it free", "let me say something",
)  # fmt: skip

BACKCHANNELS = (
    "yeah", "okay", "right", "uh huh", "mm hmm", "i see",
    "yes", "all right", "okay yeah", "sure", "got it", "oh", "yes okay",
    "yep", "aha", "yeah right", "hmm", "oh okay", "good", "great", "fine", "of course", "exactly", "alright",
    "yeah yeah", "makes sense", "sounds good", "oh i see", "wow", "cool", "yeah sure", "okay great",
)  # fmt: skip

UNHEARD = frozenset(["uh huh", "mm hmm", "hmm", "aha", "oh"])  # recognisers often write nothing for these


def part_of(text: str | tuple[str, str]) -> Part:
    """Where a text belongs; the same on every machine."""
    share = sha256("|".join([text] if isinstance(text, str) else text).encode()).digest()[0] * 100 // 256
    if share < SHARES["train"]:
        return "train"
    return "dev" if share < SHARES["train"] + SHARES["dev"] else "test"


def of_part(texts: tuple[T, ...], part: Part) -> list[T]:
    """The texts of one part, in order."""
    return [text for text in texts if part_of(text) == part]
