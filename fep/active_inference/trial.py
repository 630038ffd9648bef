"""Beliefs about a whole trial under each policy, by marginal message passing, as in SPM12."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from fep.active_inference.belief import (
    ACTION,
    OUTCOME,
    Belief,
    Observation,
    evidence,
    mean_field,
    transition,
)
from fep.active_inference.expected_free_energy import preference
from fep.active_inference.model import Model, normalise
from fep.information import expected_log, log_beta

Beliefs = tuple[Float[Array, "policies times _"], ...]  # one a factor

# the least rise of free energy, in nats, for which SPM goes on to its third and fourth sweep
RISE = float(np.exp(-8))


def ln(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Logarithm with SPM's floor: of x + 1e-16."""
    return jnp.log(x + 1e-16)


class MessagePassing(eqx.Module):
    r"""Marginal message passing: gradient steps on the free energy of every time point in turn.

    With $v = \frac12 (\ln B s_{\tau-1} + \ln B^\dagger s_{\tau+1}) + \ln A_o - \ln s_\tau$, half of
    the gradient, $\ln s_\tau \leftarrow \ln s_\tau + 2 v / \tau_c$ and normalised.

    Attributes:
        time_constant: $\tau_c$, updates; the rate of descent is its inverse.
        decay: beliefs are flattened to $s^{1 / decay}$ when a new outcome comes.
        sweeps: turns through all time points for each outcome; SPM's are 16.

    Source: Parr et al. (2019), Sci. Rep. 9, 13889; SPM12, spm_MDP_VB_X.
    """

    time_constant: float | Float[Array, ""] = 4.0
    decay: float | Float[Array, ""] = 4.0
    sweeps: int = eqx.field(static=True, default=16)


class TrialState(NamedTuple):
    """What a trial carries."""

    beliefs: Beliefs  # over the states of each time point, under each policy
    seen: Float[Array, "times ..."]  # likelihood of each outcome so far under the joint states
    policies: Float[Array, " policies"]  # posterior, q(pi)
    rate: Float[Array, ""]  # beta, inverse precision of policies
    alive: Bool[Array, " policies"]  # policies still thought about
    time: Int[Array, ""]


class Thought(NamedTuple):
    """What came of one outcome. F and G have SPM's sign: more is better."""

    action: Int[Array, " controls"]
    action_probabilities: Float[Array, "..."]  # one axis a control
    policies: Float[Array, " policies"]  # q(pi)
    beliefs: Beliefs
    F: Float[Array, " policies"]  # minus the variational free energy, nats
    G: Float[Array, " policies"]  # minus the expected free energy, nats
    precision: Float[Array, " updates"]  # gamma after each of its updates; dopamine's course
    prospects: Float[Array, "updates policies"]  # q(pi) at each of these


class TrialAgent(eqx.Module):
    r"""Infers past, present and future states under each policy, and which policy it is on.

    $q(\pi) = \sigma(\ln E + \gamma G + F)$ with $\gamma = 1 / \beta$ itself inferred: $\beta$
    moves half way, 16 times, to $\beta_0 - (q(\pi) - \sigma(\ln E + \gamma G)) \cdot G$.

    Attributes:
        model: its B may hang on the own factor alone; C may have one row for each time.
        plans: the policies, shape (policies, times - 1, controls).
        habits: E over these policies, shape (policies,).
        passing: message passing.
        beta: $\beta_0$, prior inverse precision of policies.
        alpha: precision of action.
        occam: policies whose posterior falls below exp(-occam) of the best are dropped for good.

    Source: Friston et al. (2017), Neural Comput. 29, 1-49; SPM12, spm_MDP_VB_X.
    """

    model: Model
    plans: Int[Array, "policies moves controls"]
    habits: Float[Array, " _"]
    passing: MessagePassing = MessagePassing()
    beta: float | Float[Array, ""] = 1.0
    alpha: float | Float[Array, ""] = 512.0
    occam: float | Float[Array, ""] = 3.0

    def __check_init__(self):
        wired = self.model.dependencies
        for f, factors in enumerate(wired.B):
            if factors != (f,):
                raise ValueError(f"B[{f}]: expected to hang on factor {f} alone, got {factors}")
        if self.plans.shape[2] != len(self.model.num_controls):
            raise ValueError(
                f"plans: expected {len(self.model.num_controls)} controls, got shape "
                f"{self.plans.shape}"
            )
        if self.habits.shape != self.plans.shape[:1]:
            raise ValueError(
                f"habits: expected shape {self.plans.shape[:1]}, got {self.habits.shape}"
            )

    def init(self) -> TrialState:
        """Before the first outcome: D now, anything later."""
        policies, moves, _ = self.plans.shape
        beliefs = tuple(
            jnp.concatenate(
                [
                    jnp.broadcast_to(d, (policies, 1, d.shape[0])),
                    jnp.full((policies, moves, d.shape[0]), 1 / d.shape[0], d.dtype),
                ],
                axis=1,
            )
            for d in self.model.D
        )
        dtype = self.model.D[0].dtype
        return TrialState(
            beliefs,
            jnp.ones((moves + 1, *self.model.num_states), dtype),
            normalise(self.habits),
            jnp.asarray(self.beta, dtype),
            jnp.ones(policies, bool),
            jnp.zeros((), jnp.int32),
        )

    def step(
        self, state: TrialState, observation: Observation, *, key: PRNGKeyArray
    ) -> tuple[TrialState, Thought]:
        """One outcome in, one action out (of no use after the last)."""
        said = jnp.ones(self.model.num_states, state.seen.dtype)
        for weight, factors in evidence(self.model, observation):
            order = sorted(range(len(factors)), key=lambda i, factors=factors: factors[i])
            shape = [n if f in factors else 1 for f, n in enumerate(self.model.num_states)]
            said = said * jnp.transpose(weight, order).reshape(shape)
        seen = state.seen.at[state.time].set(said)
        odds = ln(state.policies)
        alive = state.alive & ((odds >= jnp.max(odds) - self.occam) | (state.time == 0))
        beliefs, F = self._infer(state._replace(seen=seen, alive=alive))
        F = jnp.where(alive, F, 0)
        G = jnp.where(alive, self._prospects(beliefs, state.time), 0)
        rate, (policies, gamma, courses) = policy_precision(
            F, G, self.habits / jnp.sum(self.habits), alive, state.rate, self.beta
        )
        after = TrialState(beliefs, seen, policies, rate, alive, state.time + 1)
        p = self._actions(policies, state.time)
        option = jax.random.categorical(key, jnp.log(p.reshape(-1)))
        action = jnp.asarray(self.model.options())[option]
        return after, Thought(action, p, policies, beliefs, F, G, gamma, courses)

    def _infer(self, state):
        """Message passing for every policy that is alive: beliefs and F."""
        model, passing = self.model, self.passing
        times, factors = state.seen.shape[0], range(len(model.D))
        forward, backward = [], []
        for f in factors:
            b, axes = transition(model, f)
            if ACTION not in axes:
                b = jnp.repeat(b[:, None, :], model.num_actions, axis=1)
            forward.append(jnp.transpose(b, (1, 2, 0)))
            backward.append(jax.vmap(lambda m: normalise(m.T))(forward[-1]))
        log_prior = [ln(d) for d in model.D]
        moves = jnp.ravel_multi_index(
            tuple(jnp.moveaxis(self.plans, -1, 0)), model.num_controls, mode="clip"
        )

        def point(j, carry, policy):
            beliefs, energy = list(carry[0]), carry[1]
            here = [x[j] for x in beliefs]
            inner, first, last = (j > 0) & (j < times - 1), j == 0, j == times - 1
            for f in factors:
                told = _others(state.seen[j], here, f)
                told = jnp.where(j <= state.time, ln(told), 0)
                own = ln(here[f])
                before = (
                    forward[f][policy[jnp.maximum(j - 1, 0)]] @ beliefs[f][jnp.maximum(j - 1, 0)]
                )
                after = (
                    backward[f][policy[jnp.minimum(j, times - 2)]]
                    @ (beliefs[f][jnp.minimum(j + 1, times - 1)])
                )
                error = jnp.where(first, log_prior[f], ln(before)) + told - own
                error = error + jnp.where(last, 0, ln(after) + told - own)
                share = (len(beliefs) - 1) / len(beliefs)
                energy = energy + here[f] @ (error / 2 - jnp.where(inner, share * told, 0))
                moved = own + (error - jnp.mean(error)) / passing.time_constant
                here[f] = jax.nn.softmax(moved)
                beliefs[f] = beliefs[f].at[j].set(here[f])
            return tuple(beliefs), energy

        def settle(beliefs, policy):
            def sweep(carry, i):
                old, energy, rise = carry
                start = (old, jnp.zeros_like(energy))
                new, found = jax.lax.fori_loop(0, times, lambda j, c: point(j, c, policy), start)
                going = (rise > RISE) | (i >= 4)
                rise = jnp.where(going & (i > 0), found - energy, rise)
                pick = lambda a, b: jnp.where(going, a, b)
                return (jax.tree.map(pick, new, old), pick(found, energy), rise), None

            zero = jnp.zeros((), beliefs[0].dtype)
            carry, _ = jax.lax.scan(sweep, (beliefs, zero, zero + 1), jnp.arange(passing.sweeps))
            return carry[:2]

        start = tuple(jax.nn.softmax(ln(x) / passing.decay, axis=-1) for x in state.beliefs)
        beliefs, F = jax.vmap(settle)(start, moves)
        keep = lambda new, old: jnp.where(state.alive[:, None, None], new, old)
        return jax.tree.map(keep, beliefs, start), F

    def _prospects(self, beliefs, time):
        """Minus the expected free energy of the time points from now on, for every policy."""
        model, counts = self.model, self.model.counts
        shape = beliefs[0].shape[:2]
        flat = tuple(x.reshape(-1, x.shape[-1]) for x in beliefs)
        states = Belief(flat, mean_field(model))
        value = joint_information(model, states).reshape(shape)
        times = jnp.arange(shape[1])
        for g, (a, factors) in enumerate(zip(model.A, model.dependencies.A, strict=True)):
            outcomes = states.mean((a, [OUTCOME + g, *factors]), keep=[OUTCOME + g])
            outcomes = outcomes.reshape(*shape, -1)
            wanted = ln(jnp.exp(jax.vmap(lambda t, c=model.C[g]: preference(c, t))(times)))
            value = value + jnp.sum(outcomes * wanted[None], axis=-1)
            if counts.a is not None:
                news = jnp.where(counts.a[g] > 0, novelty_weight(counts.a[g]), 0)
                news = states.mean((news, [OUTCOME + g, *factors]), keep=[OUTCOME + g])
                value = value + jnp.sum(outcomes * news.reshape(*shape, -1), axis=-1)
        total = jnp.sum(jnp.where((times >= time)[None, :], value, 0), axis=1)
        if counts.d is not None:
            weights = (novelty_weight(d) for d in counts.d)
            total = total + sum(x[:, 0] @ w for x, w in zip(beliefs, weights, strict=True))
        return total

    def _actions(self, policies, time):
        """P of each joint action now, one axis a control."""
        options = self.model.num_controls
        now = self.plans[:, jnp.minimum(time, self.plans.shape[1] - 1)]
        joint = jnp.ravel_multi_index(tuple(now.T), options, mode="clip")
        marginal = jnp.zeros(self.model.num_actions, policies.dtype).at[joint].add(policies)
        return jax.nn.softmax(self.alpha * ln(marginal)).reshape(options)


def policy_precision(
    F: Float[Array, " policies"],
    G: Float[Array, " policies"],
    habits: Float[Array, " policies"],
    alive: Bool[Array, " policies"],
    rate: Float[Array, ""],
    prior_rate: float | Float[Array, ""],
) -> tuple[Float[Array, ""], tuple]:
    r"""Posterior over policies together with its precision $\gamma = 1 / \beta$, 16 updates.

    $q(\pi) = \sigma(\ln E + \gamma G + F)$ and $\beta \leftarrow \beta - \frac12 (\beta -
    \beta_0 + (q(\pi) - \sigma(\ln E + \gamma G)) \cdot G)$, with F and G of SPM's sign.

    Args:
        F: minus the variational free energy of each policy, nats.
        G: minus its expected free energy, nats.
        habits: E, normalised.
        alive: policies thought about; the others get no probability.
        rate: $\beta$ to begin with.
        prior_rate: $\beta_0$.

    Returns:
        The last rate, and (posterior, precision after each update, posterior before each).

    Source: Friston et al. (2017), Neural Comput. 29, 1-49, table 2; SPM12, spm_MDP_VB_X.
    """
    prior = ln(habits)
    among = lambda logits: jax.nn.softmax(jnp.where(alive, logits, -jnp.inf))

    def update(rate, _):
        posterior = among(prior + G / rate + F)
        surprise = (posterior - among(prior + G / rate)) @ G
        rate = rate - (rate - prior_rate + surprise) / 2
        return rate, (posterior, 1 / rate)

    rate, (posteriors, precisions) = jax.lax.scan(update, rate, length=16)
    return rate, (posteriors[-1], precisions, posteriors)


def _others(table, marginals, f):
    """Mean of a table over the states of every factor but f."""
    parts = [(q, [i]) for i, q in enumerate(marginals) if i != f]
    return jnp.einsum(table, list(range(table.ndim)), *(x for part in parts for x in part), [f])


def joint_information(model: Model, states: Belief) -> Float[Array, " nodes"]:
    """Mutual information of states and all outcomes, with the floors of SPM's spm_MDP_G."""
    floor = float(np.exp(-16))
    modalities, factors = range(len(model.A)), range(len(model.D))
    table = states.mean(keep=factors)
    table = jnp.where(table > floor, table, 0)
    parts = [(a, [OUTCOME + g, *model.dependencies.A[g]]) for g, a in enumerate(model.A)]
    parts += [(jnp.ones_like(d), [f]) for f, d in enumerate(model.D)]
    keep = [*factors, *(OUTCOME + g for g in modalities)]
    names = {axis: i for i, axis in enumerate(keep)}
    named = [x for array, axes in parts for x in (array, [names[i] for i in axes])]
    joint = jnp.einsum(*named, list(range(len(keep))))
    joint = joint.reshape(int(np.prod(model.num_states)), -1)
    table = table.reshape(table.shape[0], -1)
    outcomes = table @ joint
    certainty = jnp.sum(joint * jnp.log(joint + floor), axis=1)
    return table @ certainty - jnp.sum(outcomes * jnp.log(outcomes + floor), axis=1)


def novelty_weight(counts: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    r"""What an outcome tells about its column of counts, $W = \frac12 (1 / a - 1 / \sum a)$, nats.

    The limit of `dirichlet_gain` for large counts, over axis 0 and with SPM's floor of 1e-16.

    Source: SPM12, spm_wnorm, negated; Smith et al. (2022), J. Math. Psychol. 107, 102632.
    """
    counts = counts + 1e-16
    return (1 / counts - 1 / jnp.sum(counts, axis=0, keepdims=True)) / 2


class Rates(NamedTuple):
    """Counts that one trial is worth, for each array; SPM12 counts d whole, whatever its eta."""

    a: float | Float[Array, ""] = 1.0
    b: float | Float[Array, ""] = 1.0
    d: float | Float[Array, ""] = 1.0
    e: float | Float[Array, ""] = 1.0


def learn(
    agent: TrialAgent,
    observations: tuple[Int[Array, " times"], ...],
    thoughts: Thought,
    rates: Rates,
) -> TrialAgent:
    r"""The agent after a trial: counts grown by what it believes at the end to have happened.

    $a \mathrel{+}= \eta \sum_\tau o_\tau \otimes s_\tau$, $b_u \mathrel{+}= \eta \sum_{\tau, \pi}
    q_\tau(\pi) s^\pi_\tau \otimes s^\pi_{\tau - 1}$ over policies that do u then, $d
    \mathrel{+}= s_0$ and $e \mathrel{+}= \eta q(\pi)$, with s averaged over policies unless
    marked. Counts of zero stay so.

    Args:
        agent: as it was before the trial; habits are its counts e.
        observations: of the trial, one array (times,) of outcomes a modality.
        thoughts: of the trial, as `scan` stacks them.
        rates: of learning.

    Source: SPM12, spm_MDP_VB_X.
    """
    model, counts, wired = agent.model, agent.model.counts, agent.model.dependencies
    grow = lambda old, rate, new: old + rate * jnp.where(old > 0, new, 0)
    beliefs = tuple(x[-1] for x in thoughts.beliefs)
    states = model_average(thoughts)
    over_time = Belief(states, mean_field(model))
    a, b, d = counts.a, counts.b, counts.d
    if a is not None:
        seen = (
            jnp.tensordot(
                jax.nn.one_hot(o, c.shape[0], axis=0, dtype=c.dtype),
                over_time.mean(keep=factors),
                1,
            )
            for c, o, factors in zip(a, observations, wired.A, strict=True)
        )
        a = tuple(grow(c, rates.a, new) for c, new in zip(a, seen, strict=True))
    if b is not None:
        moved = []
        for c, x, controls in zip(b, beliefs, wired.controls, strict=True):
            sizes = tuple(model.num_controls[i] for i in controls)
            option = jnp.ravel_multi_index(
                tuple(agent.plans[..., i] for i in controls), sizes, mode="clip"
            )
            chosen = jax.nn.one_hot(option, int(np.prod(sizes)), dtype=c.dtype)
            new = jnp.einsum(
                "tk,kti,ktj,ktu->iju", thoughts.policies[1:], x[:, 1:], x[:, :-1], chosen
            )
            moved.append(grow(c, rates.b, new.reshape(c.shape)))
        b = tuple(moved)
    if d is not None:
        d = tuple(grow(c, rates.d, x[0]) for c, x in zip(d, states, strict=True))
    habits = agent.habits + rates.e * thoughts.policies[-1]
    model = model.with_counts(counts._replace(a=a, b=b, d=d))
    return eqx.tree_at(lambda t: (t.model, t.habits), agent, (model, habits))


def model_average(thoughts: Thought) -> tuple[Float[Array, "times _"], ...]:
    """States at every time, averaged over policies, as believed at the end of a trial."""
    weights = thoughts.policies[-1]
    return tuple(jnp.tensordot(weights, x[-1], 1) for x in thoughts.beliefs)


def counts_free_energy(
    posterior: Float[Array, "n ..."], prior: Float[Array, "n ..."]
) -> Float[Array, ""]:
    r"""SPM's complexity of learning: a divergence of Dirichlet columns (axis 0), summed.

    $\ln B(p) - \ln B(q) - \sum (p - q) \psi_n(q + 1/32)$ with $\psi_n(c) = \psi(c) -
    \psi(\sum c)$. SPM12 adds 1/32 to the counts, so that this is not the exact divergence, which
    is `dirichlet_divergence`.

    Source: SPM12, spm_KL_dir.
    """
    q, p = jnp.moveaxis(posterior, 0, -1), jnp.moveaxis(prior, 0, -1)
    terms = log_beta(p) - log_beta(q) - jnp.sum((p - q) * expected_log(q + 1 / 32), axis=-1)
    return jnp.sum(terms)
