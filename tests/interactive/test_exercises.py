"""What the checks of the notebooks say to answers that are right, nearly right, and wrong."""

import numpy as np
import pytest

from accentlib.interactive.exercises import NUMBERS, _functions, check

FUNCTIONS = _functions()


@pytest.mark.parametrize("exercise", NUMBERS)
def test_numbers(exercise):
    truth, within, _ = NUMBERS[exercise]
    assert check(exercise, None).startswith("No answer yet")
    assert check(exercise, truth + 0.9 * within) == "Right."
    for wrong, said in ((truth + within + 0.1, "less"), (truth - within - 0.1, "more")):
        assert check(exercise, wrong).startswith(f"Not yet: it is {said} than")
        assert f"{round(truth, 1):g}" not in check(exercise, 7 * wrong)  # it helps, and does not tell
    for useless in (float("nan"), "three", [1]):
        assert check(exercise, useless).startswith("Not yet")


@pytest.mark.parametrize("exercise", FUNCTIONS)
def test_functions(exercise):
    right, tried = FUNCTIONS[exercise]
    assert check(exercise, None).startswith("No answer yet")
    assert check(exercise, right) == "Right."
    assert check(exercise, lambda *given: None).startswith("Not yet: for ")
    assert "it stops with KeyError" in check(exercise, lambda *given: {}["x"])
    assert check(exercise, 3) == "Not yet: a function is wanted, not 3."
    if not isinstance(right(*tried[0]), list):
        nearly = check(exercise, lambda *given: 1.01 * np.asarray(right(*given)) + 0.01)
        assert nearly.startswith("Not yet: for ") and ", and should give " in nearly
        assert "its shape is" in check(exercise, lambda *given: [right(*given), right(*given)])


def test_the_usual_mistakes_are_not_right():
    def shrunk(x):
        return (x - x.mean()) / x.std()  # over the whole clip, not by band

    def plain(names, answers):
        return np.mean(np.array(names) == np.array(answers))  # accents with many clips count more

    def unscaled(h, u):
        scores = np.exp((h * u).sum(-1))
        return ((scores / scores.sum(0))[..., None] * h).sum(0).ravel()

    for exercise, mistake in (("01.2", shrunk), ("00.2", plain), ("02.2", unscaled)):
        assert check(exercise, mistake).startswith("Not yet: for ")
