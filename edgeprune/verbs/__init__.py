"""The verbs on files: each reads files, calls the library, writes files, returns facts.

No terminal here; the command line prints what these return. The facts are JSON values.
"""

from edgeprune.verbs.benching import bench_paths, timed_targets
from edgeprune.verbs.boards import prepare_board
from edgeprune.verbs.comparing import compare_saved, gate_code, outcomes_of
from edgeprune.verbs.delivery import export_file, report_file, verify_file
from edgeprune.verbs.descending import Anew
from edgeprune.verbs.emulating import emulate
from edgeprune.verbs.exchanging import reports_asked, write_reports
from edgeprune.verbs.fronts import front_files
from edgeprune.verbs.histories import history_of, keepable, keeping, kept
from edgeprune.verbs.looking import init_file, inspect_path, makefile_path, schema_of
from edgeprune.verbs.measuring import csv_of
from edgeprune.verbs.method import (
    prune_file,
    score_files,
    strip_file,
    zero_file,
)
from edgeprune.verbs.planning import plan_file
from edgeprune.verbs.profiles import check_profile, list_profiles, new_profile, show_profile
from edgeprune.verbs.recovering import recover_file
from edgeprune.verbs.searching import scan_file, search_file
from edgeprune.verbs.sources import Source

__all__ = [
    "Anew",
    "Source",
    "bench_paths",
    "check_profile",
    "compare_saved",
    "csv_of",
    "emulate",
    "export_file",
    "front_files",
    "gate_code",
    "history_of",
    "init_file",
    "inspect_path",
    "keepable",
    "keeping",
    "kept",
    "list_profiles",
    "makefile_path",
    "new_profile",
    "outcomes_of",
    "plan_file",
    "prepare_board",
    "prune_file",
    "recover_file",
    "report_file",
    "reports_asked",
    "scan_file",
    "schema_of",
    "score_files",
    "search_file",
    "show_profile",
    "strip_file",
    "timed_targets",
    "verify_file",
    "write_reports",
    "zero_file",
]
