"""Inference engines, each in a child process: a file that crashes its engine costs one child."""

from edgeprune.runtimes.agents import Agent, AgentLink
from edgeprune.runtimes.children import Runner, run_file
from edgeprune.runtimes.engines import ENGINES, engine_of
from edgeprune.runtimes.packing import agent_bytes

__all__ = ["ENGINES", "Agent", "AgentLink", "Runner", "agent_bytes", "engine_of", "run_file"]
