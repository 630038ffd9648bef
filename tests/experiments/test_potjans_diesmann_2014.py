"""The microcircuit: what scaling keeps, and its rates beside the authors' program and NEST."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.papers import potjans_diesmann_2014_microcircuit as paper
from snn.neurons import CubaLIF, CubaLIFState


def test_a_synapse_peaks_at_its_potential():
    neuron = CubaLIF(paper.TAU_MEM, 1.0, tau_syn=paper.TAU_SYN)
    state = CubaLIFState(jnp.zeros(1), jnp.full(1, paper.charge(0.15e-3)))
    step = partial(neuron.step, dt=1e-5)
    trace = jax.lax.scan(lambda s, _: (step(s, jnp.zeros(1))[0], s.v), state, length=500)[1]
    assert float(trace.max()) == pytest.approx(0.15e-3, rel=1e-4)  # the peak is flat
    # 87.8 pA on 250 pF in 10 ms is 3.51 mV, as the authors' program has it
    assert paper.charge(0.15e-3) == pytest.approx(87.8e-12 * 10e-3 / 250e-12, rel=1e-3)


def test_the_full_model_has_a_third_of_a_billion_synapses():
    assert paper.FULL_SIZES.sum() == 77_169
    assert paper.full_synapses().sum() == pytest.approx(0.3e9, rel=0.01)
    # one pair in ten joined at least once, in the mean by a little more than one synapse
    inputs = paper.full_synapses()[0, 0] / 20_683**2
    assert inputs == pytest.approx(-np.log(1 - 0.1009), rel=1e-6)


def test_scaling_keeps_the_mean_and_the_variance_of_what_a_neuron_receives():
    inputs, rates = paper.full_synapses() / paper.FULL_SIZES[:, None], paper.FULL_HZ
    external = paper.charge(paper.POTENTIAL)
    strength = paper.strengths()
    few, strong = paper.SCALE, paper.SCALE**-0.5
    mean = lambda k, j: (inputs * k * strength * j) @ rates + external * j * k * paper.EXTERNAL * 8
    spread = lambda k, j: (
        (inputs * k * (strength * j) ** 2) @ rates + ((external * j) ** 2 * k * paper.EXTERNAL * 8)
    )
    scaled = paper.TAU_SYN * mean(few, strong) + paper.missing_drive()
    np.testing.assert_allclose(scaled, paper.TAU_SYN * mean(1, 1), rtol=1e-9)
    np.testing.assert_allclose(spread(few, strong), spread(1, 1), rtol=1e-9)


def test_a_run_of_no_time_is_refused():
    with pytest.raises(ValueError, match="multiple of 0.5"):
        paper.Config(duration_s=0.7)


@pytest.mark.slow
def test_eight_populations_fire_as_in_nest_at_the_same_size():
    assert [check for check in paper.verify() if not check.passed] == []
    result = paper.run(paper.Config(duration_s=0.5))
    assert len(paper.figure(result).axes) == 3
