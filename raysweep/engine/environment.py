"""Every environment variable that Ray needs from us, and why."""

from __future__ import annotations

# Of workers; they reach a cluster's other nodes too.
WORKER_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # trials keep the working directory they were started from
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that asks for no GPU sees none (ray#62492)
    # The C library keeps freed memory for the next batch, where it would give each large tensor's back to the system
    # and get it anew, page by page, with every step; mallopt(3) has all. benchmarks/allocation.py tells what it gains.
    "MALLOC_ARENA_MAX": "1",  # heaps of other arenas, in which threads would allocate, are given back regardless
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
DRIVER_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # our records replace Tune's csv, json and tensorboardX
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's own snapshots grow with the sweep; ours do not
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails has no metric to report
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # errors are told by us, once
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends at once: the trials' state is on disk already
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",  # (Ray's spelling) checked by us before
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output engine prints tables even where verbose is 0
    "RAY_USAGE_STATS_ENABLED": "0",  # no report to Ray's authors
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",  # about Ray Train's interface, which is not used
}
START_ENVIRONMENT = {  # of a Ray that starts here
    "RAY_prestart_worker_first_driver": "0",  # trials ask before those are ready, and get other processes started
}
PRELOADED = "RAY_preload_python_modules"  # imported by processes as they start, beside what the driver does meanwhile
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by Ray for a submitted job, whose directory all nodes have already
FATAL_WHERE_SET = ("TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR")  # Tune refuses to start with either
