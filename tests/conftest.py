import os

import jaxlib.version

# most tests compile a program to run it once: cheap code, generated in one piece, takes more than
# half off their time; environment variables, so that command lines run by tests compile the same
# bits. XLA aborts on a flag it does not know, so these are set for versions that were looked at.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
if jaxlib.version.__version_info__ < (0, 13):
    cheap = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {cheap}"

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 for one test: oracles to rounding need it, the library's default stays float32."""
    with jax.enable_x64(True):
        yield
