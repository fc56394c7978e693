"""How `pytest --nbval` runs the notebooks: strictly, with this environment's kernel."""

import os
import tempfile
from collections import Counter

import pytest


def pytest_configure(config):
    if config.getoption("nbval", default=False):
        config.option.nbval_current_env = True
        temporary = tempfile.TemporaryDirectory()  # nbval kills its kernels: what they hold stays behind
        os.environ["TMPDIR"] = temporary.name
        config.add_cleanup(temporary.cleanup)


def pytest_collection_modifyitems(items):
    # Progress bars and notices on stderr carry seconds; everything else is compared.
    notebooks = {item.parent for item in items if hasattr(item.parent, "skip_compare")}
    for notebook in notebooks:
        notebook.skip_compare = (*notebook.skip_compare, "stderr")


@pytest.fixture(autouse=True, scope="session")
def _no_screen():
    import matplotlib

    matplotlib.use("Agg")


def pytest_terminal_summary(terminalreporter):
    """Name the five slowest files: tests/README.md has their budget."""
    seconds = Counter()
    for report in [x for reports in terminalreporter.stats.values() for x in reports]:
        if hasattr(report, "duration"):
            seconds[report.nodeid.split("::")[0]] += report.duration
    slowest = ", ".join(f"{file} {spent:.0f}" for file, spent in seconds.most_common(5))
    terminalreporter.write_line(f"seconds, tests and their setup: {slowest}")
