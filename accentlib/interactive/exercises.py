"""Whether a reader's number is right."""


def check(answer: float | None, truth: float, *, within: float = 0.0) -> str:
    """Say whether an answer to an exercise is right.

    Parameters
    ----------
    answer : float or None
        The reader's; None, as the notebooks have it, for none yet.
    truth : float
        What a cell of the notebook found.
    within : float
        So far from it is right, too.
    """
    if answer is None:
        return "No answer yet: put your number in place of None, and run this cell again."
    if abs(answer - truth) <= within:
        return "Right."
    return f"Not yet: it is {'less' if truth < answer else 'more'} than {answer:g}."
