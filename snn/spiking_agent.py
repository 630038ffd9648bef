"""Active inference on spiking populations: beliefs and policies are rates, actions are most spikes.

Door to `fep`: the same model, planner and step as `fep.active_inference.agent.Agent`, its twin.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fep.active_inference.agent import Agent, habits
from fep.active_inference.belief import Belief, Observation, advance, evidence, prior
from fep.active_inference.model import Model
from fep.information import log
from snn.spiking_beliefs import FLOOR
from snn.spiking_beliefs_rivals import Cycle, Rivals, WinnerTakeAll


class SpikingAgentState(NamedTuple):
    """What a spiking agent carries from step to step."""

    prior: Belief  # over the present states, before the next observation
    time: Int[Array, ""]  # steps since the start
    states: tuple[Rivals, ...]  # populations of each block of factors
    policies: Rivals


class SpikingDecision(NamedTuple):
    """What a spiking agent thought at one step, and what it then did."""

    action: Int[Array, " controls"]  # the option of each control
    policies: Float[Array, " policies"]  # share of each in the spikes, first action slowest
    belief: Belief  # read out of spikes
    states: tuple[Cycle, ...]  # spikes of each block's populations
    choice: Cycle  # spikes of the policies' populations


class SpikingAgent(eqx.Module):
    r"""An agent whose beliefs and policies are soft winner-take-all populations.

    Perception: a block b of factors has one population for each of its joint states, under

    $d_b = \ln q_b + \ln E_{q \setminus b} \prod_g A_g(o_g \mid s)$,

    with q the message from the last cycle: its spikes, carried through B. With one block of all
    factors this tends to the exact filter; with a block a factor, to the exact marginals of each
    step from independent factors, Boyen & Koller's projection.

    Choice: one population a policy, under $d_\pi = \gamma\,(-G(\pi)) + \ln E(\pi)$, with the
    precision gamma as the gain of its synapses and G computed from the belief that was read out.
    The action is selected by what its policies fired. A drive more than 16 nats below the
    strongest is raised to that.

    Attributes:
        twin: the agent in floats, whose model, planner, precision, selection and blocks it shares.
        populations: neurons, clock and firing of every population.
        synapses: A and B as spikes meet them, where that is not quite what the twin believes.

    Source: Boyen & Koller (1998), UAI; policies as in Friston et al. (2017), Neural Comput. 29,
        1-49.
    """

    twin: Agent
    populations: WinnerTakeAll
    synapses: Model | None = None

    def init(self) -> SpikingAgentState:
        """Before the first observation."""
        model = self.twin.model
        expected = prior(model, self.twin.inference.blocks(model))
        states = tuple(self.populations.init(_drive(log(t)).ravel()) for t in expected.tables)
        count = eqx.filter_eval_shape(self.twin.policies, expected, jnp.zeros((), jnp.int32))
        policies = self.populations.init(jnp.zeros(count.shape))
        return SpikingAgentState(expected, jnp.zeros((), jnp.int32), states, policies)

    def step(
        self, state: SpikingAgentState, observation: Observation, *, key: PRNGKeyArray
    ) -> tuple[SpikingAgentState, SpikingDecision]:
        """One observation in, two cycles of spikes, one action out.

        Args:
            state: from `init` or the step before.
            observation: one outcome a modality: an index, negative if missing, or a vector of
                likelihoods.
            key: of the choice of action.
        """
        model, before = self.twin.model, state.prior
        synapses = self.synapses or model
        said = evidence(synapses, observation)
        cycled = [
            self.populations.step(rivals, _drive(_perceive(before, said, b)).ravel())
            for b, rivals in enumerate(state.states)
        ]
        states, cycles = zip(*cycled, strict=True)
        shapes = (table.shape for table in before.tables)
        tables = tuple(c.belief.reshape(shape) for c, shape in zip(cycles, shapes, strict=True))
        belief = Belief(tables, before.blocks)
        value = self.twin.planner(model, belief, state.time).value
        drive = self.twin.gamma * value + log(habits(model, value.shape[0]))
        policies, choice = self.populations.step(state.policies, _drive(drive))
        action = self.twin.selection(model, choice.belief, key=key)
        after = advance(synapses, belief, action)
        options = jnp.asarray(model.options())[action]
        return (
            SpikingAgentState(after, state.time + 1, states, policies),
            SpikingDecision(options, choice.belief, belief, cycles, choice),
        )


def _perceive(before: Belief, said, block: int) -> Float[Array, "..."]:
    """Log of the unnormalised posterior over a block's states, all other blocks averaged over."""
    factors = before.blocks[block]
    others = before.over(b for b in range(len(before.blocks)) if b != block)
    keep = [f for f in factors if any(f in axes for _, axes in said)]
    table = before.tables[block]
    # all modalities matter: what one says of another factor weighs on what they say together
    message = others.mean(*said, keep=keep)
    sizes = [n if f in keep else 1 for f, n in zip(factors, table.shape, strict=True)]
    return jnp.log(jnp.maximum(table, FLOOR)) + jnp.log(jnp.maximum(message, FLOOR)).reshape(sizes)


def _drive(logits: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logits relative to the largest, and none more than 16 nats below it."""
    return jnp.maximum(logits - jnp.max(logits), float(np.log(FLOOR)))
