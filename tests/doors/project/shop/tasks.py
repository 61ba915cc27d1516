"""Found because the app is installed."""

import os
import threading

from django.db import DatabaseError, connection

from howdah import Context, Retry
from howdah.django import app, task
from shop.models import Entry, Order


@task
def note(order: int) -> str:
    Entry.objects.create(order=order, by=f"{os.getpid()} {threading.get_ident()}")
    return Order.objects.get(pk=order).note


@task
async def anote(order: int) -> str:
    await Entry.objects.acreate(order=order, by="loop")
    return (await Order.objects.aget(pk=order)).note


@task(delivery="transactional", connection="django")
def book(ctx: Context, order: int, fails: bool = False) -> None:
    Order.objects.filter(pk=order).update(booked=True)
    if fails:
        raise ValueError("not booked")


@task(retry=Retry(first=3, jitter=0))
def divide(order: int) -> None:
    Order.objects.filter(pk=order).update(booked=True)
    with connection.cursor() as cursor:
        cursor.execute("select 1 / 0")


@task(retry=Retry(max_attempts=1))
def cut_off() -> None:
    """As when the server restarts: the connection of the thread ends in mid job."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")
    except DatabaseError:
        raise RuntimeError("cut off") from None


@app.task
def two_more(order: int) -> None:
    note.enqueue_sync(order)
    note.enqueue_sync(order)
