"""Orders, and who did what to them."""

from django.db import models


class Order(models.Model):
    note = models.TextField(default="")
    booked = models.BooleanField(default=False)


class Entry(models.Model):
    """A line that a task wrote: with the process and thread that did."""

    order = models.IntegerField()
    by = models.TextField()
