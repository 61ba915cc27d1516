"""An app whose tasks add steps to their workflow, from a thread and from a process of the pool."""

from howdah import App, Context, Retry

app = App()


@app.task
async def leaf(name: str) -> str:
    return name


def grow(ctx: Context, name: str) -> str:
    """Adds two steps, and fails the first time."""
    assert ctx.workflow is not None
    ctx.workflow.add("left", leaf.job("left"), before="end")
    ctx.workflow.add("right", leaf.job(f"right of {name}"), after="left", before="end")
    if ctx.attempt == 1:
        raise ValueError("not yet")
    return name


again = Retry(max_attempts=2, first=0.01)
in_thread = app.task(name="in_thread", retry=again)(grow)
in_process = app.task(name="in_process", executor="process", retry=again)(grow)


@app.task(name="on_loop", executor="process", retry=again)
async def on_loop(ctx: Context, name: str) -> str:
    return grow(ctx, name)
