"""The views of the contract as read-only models: Job, Attempt, Queue, RunningWorker."""
