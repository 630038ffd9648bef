"""pymdp's side of active_inference_rollout, run by the Python of pymdp's environment."""

import importlib.metadata
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pymdp.agent import Agent
from pymdp.envs.env import PymdpEnv
from pymdp.envs.rollout import rollout
from pymdp.planning.si import si_policy_search

given, held = sys.argv[1:]
work = dict(np.load(given))
task = json.loads(str(work["task"]))
arrays = lambda name: [jnp.asarray(work[f"{name}{i}"]) for i in range(task[name])]
A, B, C, D = map(arrays, "ABCD")
wired = {name: task[name] for name in ("A_dependencies", "B_dependencies")}
world = PymdpEnv(A=A, B=B, D=D, **wired)
searched = task["searched"]
agent = Agent(
    A=A,
    B=B,
    C=C,
    D=D,
    **wired,
    policy_len=1 if searched else task["horizon"],
    batch_size=task["batch"],
    gamma=task["gamma"],
    alpha=task["gamma"],
    action_selection="deterministic",
    sampling_mode="marginal",
)
search = whole = None
if searched:  # with its pruning, to be timed; without, to be compared
    search = si_policy_search(horizon=task["horizon"], max_nodes=256, max_branching=16)
    whole = si_policy_search(
        horizon=task["horizon"],
        max_nodes=1024,
        max_branching=32,
        policy_prune_threshold=0.0,
        observation_prune_threshold=0.0,
        entropy_stop_threshold=-1.0,
    )
held_still, moving = eqx.partition(agent, eqx.is_array)


def live(arrays, key, search=search):
    """A rollout of all agents, which takes one decision more than it is asked for."""
    mind = eqx.combine(arrays, moving)
    _, info = rollout(mind, world, task["steps"] - 1, key, policy_search=search)
    return {name: info[name] for name in ("action", "qs", "qpi", "observation")}


key = jax.random.PRNGKey(0)
compilations = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **more: compilations.append(event) if "backend_compile" in event else None
)
began = time.process_time()
compiled = jax.jit(live).lower(held_still, key).compile()
compile_s = time.process_time() - began
lived = compiled(held_still, key)
if searched:
    lived = jax.jit(lambda arrays, key: live(arrays, key, whole))(held_still, key)
again = None
if task["batch"] == 1 and not searched:  # as its manual calls it, a second time
    jax.block_until_ready(rollout(agent, world, task["steps"] - 1, key)[1]["action"])
    compilations.clear()
    jax.block_until_ready(rollout(agent, world, task["steps"] - 1, key)[1]["action"])
    again = len(compilations)
first = jax.tree.map(lambda leaf: np.asarray(leaf)[0], lived)  # one agent's life
np.savez(
    held,
    action=first["action"].reshape(task["steps"], -1),
    policies=first["qpi"].reshape(task["steps"], -1),
    observation=np.stack([np.ravel(o) for o in first["observation"]], axis=1),
)
about = {
    "version": importlib.metadata.version("inferactively-pymdp"),
    "compile_s": compile_s,
    "temporaries": compiled.memory_analysis().temp_size_in_bytes,
    "compilations": again,
}
print(json.dumps(about), flush=True)
keys = jax.random.split(key, 64)
for line in sys.stdin:
    began = time.process_time()
    for i in range(int(line)):
        jax.block_until_ready(compiled(held_still, keys[i % len(keys)])["action"])
    print(json.dumps(time.process_time() - began), flush=True)
