"""Ready-made tasks: each asks the caller for one thing and returns it, checked and typed. See docs/agents.md."""

from __future__ import annotations

from pipeline.agent.task import AgentTask, TaskFailed
from pipeline.agent.tasks.ask import Ask, More, Wrong
from pipeline.agent.tasks.calendar import AskDate, AskMoment, AskTime
from pipeline.agent.tasks.choices import AskChoice, AskYesNo
from pipeline.agent.tasks.figures import AskCard, AskDigits, AskPhoneNumber, AskPin, Card
from pipeline.agent.tasks.group import TaskGroup
from pipeline.agent.tasks.people import Address, AskAddress, AskEmail, AskName, Name

__all__ = [
    "Address",
    "AgentTask",
    "Ask",
    "AskAddress",
    "AskCard",
    "AskChoice",
    "AskDate",
    "AskDigits",
    "AskEmail",
    "AskMoment",
    "AskName",
    "AskPhoneNumber",
    "AskPin",
    "AskTime",
    "AskYesNo",
    "Card",
    "More",
    "Name",
    "TaskFailed",
    "TaskGroup",
    "Wrong",
]
