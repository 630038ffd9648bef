"""Dialogues with a robot that may ask again before it acts: one mind exact, one of spikes."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fep.active_inference.agent import Agent, BestAction, first_actions
from fep.active_inference.belief import advance
from fep.active_inference.inference import FixedPoint
from fep.active_inference.model import Dependencies, Model
from fep.active_inference.planning import Exhaustive
from snn.network import Circuit
from snn.spiking_agent import SpikingAgent
from snn.spiking_beliefs import SpikingBelief, raster
from snn.spiking_beliefs import circuit as belief_circuit
from snn.spiking_beliefs_rivals import Cycle, WinnerTakeAll

ASK = 0  # action; action 1 + i does what intent i wants
LISTENING = 0  # stage; stage 1 + i: intent i's deed is done
ASKED, RIGHT, WRONG = range(3)  # outcomes of the second modality
# nats; to be wrong is dearer than to be right is dear, or no one would ever ask
PREFERENCES = -1.0, 2.0, -6.0
AHEAD = 2  # actions: ask, then act
GAMMA = 16.0  # precision of policies
LEAST = 1e-30  # of a chance whose logarithm is taken in float32
AT_ONCE = 16  # dialogues simulated together, which bounds memory


class Turns(NamedTuple):
    """A dialogue, as if the robot had asked at every turn before; turns lead."""

    did: Int[Array, " turns"]  # action of who acts
    would: Int[Array, " turns"]  # of the exact mind in its place
    lost: Float[Array, " turns"]  # expected free energy that the exact mind sees given away, nats
    belief: Float[Array, "turns intents"]  # of who acts
    exact: Float[Array, "turns intents"]
    spikes: Array  # of the intents' populations, (turns, steps, intents, neurons); exact: none


class Played(NamedTuple):
    """Dialogues, each cut at the turn in which the robot acts."""

    reached: np.ndarray  # (dialogues, turns): nothing was done before
    turns: Turns  # with a leading axis of dialogues
    acted: np.ndarray  # (dialogues,): the deed's intent, -1 for none
    questions: np.ndarray  # (dialogues,)


def model_of(confusion: Float[np.ndarray, "heard intents"]) -> Model:
    """Intent, and stage of the dialogue; what is heard, and how the deed was taken.

    Args:
        confusion: p(heard | intent) while listening; after the deed there is silence, one outcome
            more.
    """
    intents = confusion.shape[1]
    heard = np.zeros((intents + 1, intents, intents + 1))
    heard[:-1, :, LISTENING] = confusion
    heard[-1, :, 1:] = 1
    taken = np.zeros((3, intents, intents + 1))
    taken[ASKED, :, LISTENING] = 1
    taken[WRONG, :, 1:] = 1
    own = np.arange(intents)
    taken[:, own, own + 1] = np.eye(3)[RIGHT][:, None]
    stages = np.zeros((intents + 1, intents + 1, intents + 1))
    done = own + 1
    stages[done, done, :] = 1  # what is done stays done
    stages[np.arange(intents + 1), LISTENING, np.arange(intents + 1)] = 1
    return Model(
        [heard, taken],
        [np.eye(intents)[:, :, None], stages],
        [np.zeros(intents + 1), np.array(PREFERENCES)],
        [np.full(intents, 1 / intents), np.eye(intents + 1)[LISTENING]],
        dependencies=Dependencies(A=((0, 1), (0, 1)), B=((0,), (1,)), controls=((0,), (1,))),
    )


def exact_mind(model: Model) -> Agent:
    """Exact filter, exhaustive planning."""
    return Agent(model, Exhaustive(AHEAD), selection=BestAction(), gamma=GAMMA)


def spiking_mind(model: Model, neurons: int) -> SpikingAgent:
    """Populations of intents, of stages, of policies; a known stage makes blocks exact."""
    twin = Agent(
        model, Exhaustive(AHEAD), inference=FixedPoint(), selection=BestAction(), gamma=GAMMA
    )
    return SpikingAgent(twin, WinnerTakeAll(neurons))


def listen(agent, exact: Agent, heard: Float[Array, "turns outcomes"]) -> Turns:
    """What an agent makes of utterances, one after another, and what the exact one would."""

    def turn(carry, evidence):
        mind, watcher = carry
        seen = (evidence, jnp.asarray(ASKED))
        after, decision = agent.step(mind, seen, key=jax.random.key(0))  # nothing is drawn
        there, _ = exact.inference(exact.model, watcher, seen)
        chances = first_actions(exact.model, exact.policies(there, jnp.asarray(0)))
        belief = decision.belief.marginals()[0]
        spikes = decision.states[0].raster if hasattr(decision, "states") else jnp.zeros(0)
        did = jnp.argmax(first_actions(exact.model, decision.policies))
        weighed = jnp.log(jnp.maximum(chances, LEAST)) / exact.gamma
        lost = jnp.max(weighed) - weighed[did]
        told = Turns(did, jnp.argmax(chances), lost, belief, there.marginals()[0], spikes)
        asked = jnp.asarray(ASK)
        after = after._replace(prior=advance(exact.model, decision.belief, asked))
        return (after, advance(exact.model, there, asked)), told

    return jax.lax.scan(turn, (agent.init(), exact.init().prior), heard)[1]


def play(agent, exact: Agent, heard: np.ndarray) -> tuple[Played, np.ndarray]:
    """All dialogues, and the spikes of the first few.

    Args:
        agent: who acts, spiking or exact.
        exact: who looks on.
        heard: likelihood of each utterance under each outcome, (dialogues, turns, outcomes).
    """
    watch = eqx.filter_jit(lambda heard: jax.vmap(lambda one: listen(agent, exact, one))(heard))
    rows = np.arange(-(-len(heard) // AT_ONCE) * AT_ONCE) % len(heard)
    found, spikes = [], None
    for batch in rows.reshape(-1, AT_ONCE):
        turns = jax.tree.map(np.asarray, watch(jnp.asarray(heard[batch])))
        spikes = turns.spikes if spikes is None else spikes
        found.append(turns._replace(spikes=np.zeros(AT_ONCE)))
    turns = jax.tree.map(lambda *parts: np.concatenate(parts)[: len(heard)], *found)
    acts = turns.did != ASK
    reached = np.cumsum(acts, axis=1) - acts == 0
    first = np.argmax(acts, axis=1)
    acted = np.where(acts.any(axis=1), turns.did[np.arange(len(first)), first] - 1, -1)
    questions = np.where(acts.any(axis=1), first, acts.shape[1])
    return Played(reached, turns, acted, questions), spikes


def comparison(played: Played, intents: Int[np.ndarray, " dialogues"]) -> dict[str, float]:
    """How dialogues went, and how far who acted was from the exact mind in the turns reached."""
    turns, reached = played.turns, played.reached
    gap = 0.5 * np.abs(turns.belief - turns.exact).sum(axis=-1)[reached]
    return {
        "decisions": float(reached.sum()),
        "same action": float(np.mean((turns.did == turns.would)[reached])),
        "total variation": float(np.mean(gap)),
        "largest total variation": float(np.max(gap)),
        "free energy given away": float(np.mean(turns.lost[reached])),
        "most given away": float(np.max(turns.lost[reached])),
        "right": float(np.mean(played.acted == intents)),
        "wrong": float(np.mean((played.acted != intents) & (played.acted >= 0))),
        "questions": float(np.mean(played.questions)),
    }


def populations(
    confusion: np.ndarray, neurons: int, spikes: np.ndarray
) -> tuple[Circuit, list[dict[str, np.ndarray]]]:
    """The belief over intents as a circuit, and its spikes in some cycles.

    All units that hear fire once a cycle, a graded spike each: evidence is soft.

    Args:
        confusion: p(heard | intent).
        neurons: of each population.
        spikes: of the intents, shape (cycles, steps, intents, neurons).
    """
    intents = confusion.shape[1]
    beliefs = SpikingBelief(
        (jnp.asarray(confusion),),
        jnp.eye(intents)[:, :, None],
        jnp.full(intents, 1 / intents),
        neurons,
    )
    rasters = []
    for cycle in spikes:
        trains = raster(beliefs, Cycle(jnp.zeros(intents), cycle), (jnp.asarray(0),), 0)
        trains["senses"][0] = 1
        rasters.append(trains)
    return belief_circuit(beliefs), rasters
