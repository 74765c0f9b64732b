"""Riverside Clinic's billing desk: the tool of the demo's billing agent. A table in memory, no real data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invoice:
    """One open or paid invoice. amount: in words, as it is read out."""

    amount: str
    purpose: str
    paid: bool = False


_INVOICES = {
    "4271": Invoice("eighty four dollars", "your visit in March"),
    "1038": Invoice("one hundred and twenty dollars", "a blood test"),
    "5566": Invoice("forty dollars", "a prescription", paid=True),
}


def look_up_invoice(number: str) -> str:
    """Look up a clinic invoice and say what is still to be paid.

    number: the four digit invoice number, digits only.
    """
    spoken = " ".join(number)  # one digit at a time, so that no voice reads it as thousands
    invoice = _INVOICES.get(number)
    if invoice is None:
        return f"I cannot find invoice {spoken}. Please say the four digits again."
    if invoice.paid:
        return f"Invoice {spoken} for {invoice.purpose} is already paid. Is there anything else?"
    return f"Invoice {spoken} is {invoice.amount}, for {invoice.purpose}. Would you like to pay it now?"
