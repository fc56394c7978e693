"""Checks of the reader's answers to the notebooks' exercises."""


def check(answer: float | None, truth: float, *, within: float = 0.0) -> str:
    """Tell whether ``answer`` (None: no answer yet) differs from ``truth`` by at most ``within``."""
    if answer is None:
        return "No answer yet: put your number in place of None, and run this cell again."
    if abs(answer - truth) <= within:
        return "Right."
    return f"Not yet: it is {'less' if truth < answer else 'more'} than {answer:g}."
