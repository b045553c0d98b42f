"""The one road from a trained model to what is released, stage by stage."""

from edgeprune.pipeline.road import StageState, clean, dry_run, report_of, run, workspace_of

__all__ = ["StageState", "clean", "dry_run", "report_of", "run", "workspace_of"]
