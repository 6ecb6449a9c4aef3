"""Questions that may never be answered, asked all at once, with an end to the waiting.

A call into a driver that hangs cannot be ended. It is left behind in a thread that dies with the program.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import thread as pools
from typing import Any


def all_within(
    seconds: float, questions: Mapping[str, Callable[[], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Asks all questions, each in a thread of its own.

    Args:
        seconds: How long to wait, for all of them together.
        questions: By name.

    Returns:
        The answers that came, by name; and a sentence for each that did not come or failed.
    """
    asked = {name: _Asked(name, question) for name, question in questions.items()}
    end = time.perf_counter() + seconds
    answers, missing = {}, []
    for name, each in asked.items():
        each.thread.join(max(0.0, end - time.perf_counter()))
        if each.thread.is_alive():
            missing.append(f"{name}: no answer within {seconds:g} s.")
        elif each.error is not None:
            missing.append(f"{name}: {type(each.error).__name__}: {each.error}")
        else:
            answers[name] = each.answer
    if any(each.thread.is_alive() for each in asked.values()):
        _let_go()
    return answers, missing


def _let_go() -> None:
    """Keeps the program's end from waiting for pools that an unanswered question has started.

    Their threads are daemons, as ours are; but `concurrent.futures` joins every thread that it knows of.
    """
    known = getattr(pools, "_threads_queues", None) or {}
    for thread in [thread for thread in known if thread.daemon]:
        known.pop(thread, None)


class _Asked:
    def __init__(self, name: str, question: Callable[[], Any]) -> None:
        self.answer: Any = None
        self.error: Exception | None = None
        self._question = question
        self.thread = threading.Thread(target=self._ask, name=f"greenadapt-doctor-{name}", daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        try:
            self.answer = self._question()
        except Exception as error:  # a broken part of the machine is what a doctor is for
            self.error = error
