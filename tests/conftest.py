"""What all tests share: how hypothesis runs, and a state that no test leaves changed."""

import os

import hypothesis
import pytest

import dlgrad
from dlgrad._native import native

# The same examples each time, so that a failure is a change's and nobody's luck.
# DLGRAD_TEST_EXAMPLES=2000 looks further, and elsewhere each time.
_examples = int(os.environ.get("DLGRAD_TEST_EXAMPLES", "0"))
hypothesis.settings.register_profile(
    "dlgrad",
    deadline=None,
    database=None,
    derandomize=not _examples,
    max_examples=_examples or 100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("dlgrad")


@pytest.fixture(autouse=True)
def unchanged_state():
    """The default dtype, the grad mode and the memory limit are after a test what they were before."""
    yield
    dlgrad.set_default_dtype(dlgrad.float32)
    dlgrad.autograd.mode.mode.enabled = True
    dlgrad.storage.set_memory_limit(0)


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests of the library's own calls where kernels are called by cffi."""
    if native is None:
        out = [item for item in items if item.get_closest_marker("native")]
        items[:] = [item for item in items if not item.get_closest_marker("native")]
        config.hook.pytest_deselected(items=out)


@pytest.fixture(autouse=True)
def same_numbers(request):
    """A module's generator RNG begins anew in each test, so that what a test draws doesn't depend on those before it."""
    generator = getattr(request.module, "RNG", None)
    if generator is not None:
        state = vars(request.module).setdefault("RNG_STATE", generator.bit_generator.state)
        generator.bit_generator.state = state
