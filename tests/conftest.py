import os

import jaxlib.version
import pytest


def pytest_configure(config):
    """Set how programs are compiled, before jax is imported.

    Most tests compile a program to run it once: cheap code, generated in one piece, takes more
    than half off their time. Full-size runs (`-m slow`) are long enough to earn optimised code.
    """
    if config.option.markexpr == "not slow":
        # environment variables, so that command lines run by tests compile the same bits
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        # XLA aborts on a flag it does not know: only where both were seen in its library
        if jaxlib.version.__version_info__ < (0, 13):
            flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 for one test: oracles to rounding need it, the library's default stays float32."""
    import jax

    with jax.enable_x64(True):
        yield
