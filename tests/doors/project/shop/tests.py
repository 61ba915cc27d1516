"""What a project's own tests do, with what howdah.django.testing offers them."""

from io import StringIO

from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext

from howdah import BadInput, HowdahError, UnknownTask, jobs
from howdah.django import app, database
from howdah.django.checks import settings_are_right
from howdah.django.conf import url_of
from howdah.django.models import Attempt, Job, Queue, Worker
from howdah.django.testing import advance, arun_all, enqueued, run_all
from howdah.job import Job as NewJob
from shop.models import Entry, Order
from shop.tasks import anote, book, divide, note, two_more


class Replica:
    """A router that says where to read."""

    def db_for_read(self, model, **hints):
        return "replica"


class Running(TestCase):
    """What was enqueued in a test runs in it."""

    def setUp(self):
        self.order = Order.objects.create(note="hello")

    def test_what_was_enqueued_runs_in_the_tests_transaction(self):
        job_id = note.enqueue_sync(self.order.pk)

        self.assertEqual(run_all(), 1)
        self.assertEqual(Job.objects.get(pk=job_id).result, "hello")
        self.assertEqual(Entry.objects.count(), 1)

    def test_what_a_job_enqueues_runs_too(self):
        two_more.enqueue_sync(self.order.pk)

        self.assertEqual(run_all(), 3)
        self.assertEqual(Entry.objects.count(), 2)

    def test_a_coroutine_function_runs_in_the_same_transaction(self):
        anote.enqueue_sync(self.order.pk)

        self.assertEqual(run_all(), 1)
        self.assertEqual(enqueued(anote, state="succeeded")[0].result, '"hello"')

    async def test_all_of_it_can_be_awaited(self):
        order = await Order.objects.acreate(note="hi")
        await anote.enqueue(order.pk)
        await app.enqueue_many([note.job(order.pk), note.job(order.pk)])

        self.assertEqual(await arun_all(), 3)

    def test_a_transactional_task_takes_effect_with_its_end(self):
        book.enqueue_sync(self.order.pk)

        self.assertEqual(run_all(), 1)
        self.order.refresh_from_db()
        self.assertTrue(self.order.booked)
        self.assertTrue(enqueued(book, state="succeeded"))

    def test_a_transactional_task_that_fails_takes_none(self):
        book.enqueue_sync(self.order.pk, fails=True)

        with self.assertRaisesMessage(ValueError, "not booked"):
            run_all()
        self.order.refresh_from_db()
        self.assertFalse(self.order.booked)

    def test_what_a_task_raises_is_raised_and_the_test_goes_on(self):
        divide.enqueue_sync(self.order.pk)

        with self.assertRaisesMessage(Exception, "division by zero"):
            run_all()
        self.assertEqual([job.attempt for job in enqueued(divide, state="scheduled")], [1])

    def test_retries_come_when_they_are_due(self):
        divide.enqueue_sync(self.order.pk)

        self.assertEqual(run_all(raises=False), 1)
        advance("2s")
        self.assertEqual(run_all(raises=False), 0)
        advance("2s")
        self.assertEqual(run_all(raises=False), 1)

    def test_jobs_are_found_by_their_arguments(self):
        note.options(queue="a").enqueue_sync(1)
        note.options(queue="b").enqueue_sync(2)

        self.assertEqual([job.queue for job in enqueued(note)], ["a", "b"])
        self.assertEqual([job.queue for job in enqueued(note, args={"order": 2})], ["b"])
        self.assertEqual(enqueued(note, args={"order": 3}), [])
        self.assertEqual(enqueued(book), [])

    def test_a_task_that_nobody_declared_is_named(self):
        app.enqueue_sync(NewJob("nobodys", "{}"))

        with self.assertRaisesMessage(UnknownTask, "nobodys"):
            run_all()

    def test_a_circle_is_noticed(self):
        two_more.enqueue_sync(self.order.pk)

        with self.assertRaisesMessage(HowdahError, "there are more"):
            run_all(most=2)


class Committing(TransactionTestCase):
    """Without a test's transaction around it."""

    def tearDown(self):
        for job in Job.objects.all():
            app.sync_client.run(jobs.delete(job.pk))

    def test_a_rollback_leaves_no_job_and_a_commit_one(self):
        for fails in (True, False):
            try:
                with transaction.atomic():
                    note.enqueue_sync(Order.objects.create().pk)
                    if fails:
                        raise RuntimeError
            except RuntimeError:
                pass
        self.assertEqual((Order.objects.count(), Job.objects.count()), (1, 1))

    def test_an_inner_rollback_takes_only_its_own_jobs(self):
        with transaction.atomic():
            note.enqueue_sync(1)
            with transaction.atomic():
                note.enqueue_sync(2)
                transaction.set_rollback(True)
        self.assertEqual([job.args for job in Job.objects.all()], [{"order": 1}])

    def test_a_result_is_waited_for_on_connections_of_its_own(self):
        job_id = note.enqueue_sync(Order.objects.create(note="seen").pk)
        run_all()

        self.assertEqual(async_to_sync(app.result)(job_id, timeout=10), "seen")

    def test_time_is_moved_only_where_that_is_undone(self):
        with self.assertRaisesMessage(BadInput, "stay ahead"):
            advance("1h")

    def test_the_schema_goes_and_comes_back_with_its_migration(self):
        call_command("migrate", "howdah", "zero", verbosity=0)
        self.assertEqual(_schemas(), [])

        call_command("migrate", verbosity=0)
        self.assertEqual(_schemas(), ["_howdah", "howdah"])
        note.enqueue_sync(1)

    def test_migrate_brings_what_a_newer_package_brings(self):
        with connection.cursor() as cursor:
            cursor.execute("drop function howdah.backlog")

        call_command("migrate", verbosity=0)

        self.assertEqual(app.sync_client.run(jobs.backlog()), 0)


def _schemas():
    with connection.cursor() as cursor:
        cursor.execute(
            "select nspname from pg_namespace where nspname in ('howdah', '_howdah') order by 1"
        )
        return [name for (name,) in cursor.fetchall()]


class Looking(TestCase):
    """Models and admin."""

    def setUp(self):
        self.job_id = note.enqueue_sync(0)

    def test_models_read_every_view(self):
        run_all(raises=False)

        self.assertEqual(Job.objects.get().state, "scheduled")
        self.assertIn("DoesNotExist", Attempt.objects.get(job_id=self.job_id).error)
        self.assertEqual(Queue.objects.get(pk="default").scheduled, 1)
        self.assertEqual(Worker.objects.count(), 0)

    def test_jobs_are_found_by_a_tag(self):
        note.options(tags=["slow", "night"]).enqueue_sync(1)

        self.assertEqual(Job.objects.get(tags__has="slow").tags, ["slow", "night"])
        self.assertFalse(Job.objects.filter(tags__has="fast"))

    def test_the_model_has_every_column_of_the_view(self):
        with connection.cursor() as cursor:
            cursor.execute("select * from howdah.jobs limit 0")
            columns = {column.name for column in cursor.description}

        self.assertEqual(columns, {field.column for field in Job._meta.fields})

    def test_models_write_nothing(self):
        job = Job.objects.get()
        for write in (
            job.save,
            job.delete,
            Job.objects.all().delete,
            lambda: Job.objects.update(queue="x"),
            lambda: Job.objects.create(task="x"),
        ):
            with self.assertRaisesMessage(BadInput, "only read"):
                write()

    def test_migrations_describe_the_models(self):
        call_command("makemigrations", "howdah", check=True, dry_run=True, verbosity=0)

    def test_the_admin_shows_jobs_queues_and_workers(self):
        self.client.force_login(User.objects.create_superuser("root"))

        for page in ("job/", f"job/{self.job_id}/change/", "queue/", "worker/"):
            answer = self.client.get(f"/admin/howdah/{page}", follow=True)
            self.assertEqual(answer.status_code, 200, page)
        self.assertContains(self.client.get("/admin/howdah/job/"), str(self.job_id))
        self.assertEqual(self.client.get("/admin/howdah/job/add/").status_code, 403)

    def test_whoever_may_change_jobs_cancels_and_retries_them_there(self):
        self.client.force_login(User.objects.create_superuser("root"))

        for action, state in (("cancel", "cancelled"), ("retry", "ready")):
            self.client.post(
                "/admin/howdah/job/", {"action": action, "_selected_action": [str(self.job_id)]}
            )
            self.assertEqual(Job.objects.get().state, state)

    def test_a_job_that_cannot_be_brought_back_leaves_the_others(self):
        self.client.force_login(User.objects.create_superuser("root"))
        first, second = (note.options(unique_key="k").job(n) for n in (1, 2))
        cancelled = app.enqueue_sync(first)
        for job_id in (cancelled, self.job_id):
            app.sync_client.run(jobs.cancel(job_id))
        app.enqueue_sync(second)

        chosen = [str(cancelled), str(self.job_id)]
        answer = self.client.post(
            "/admin/howdah/job/", {"action": "retry", "_selected_action": chosen}, follow=True
        )

        self.assertContains(answer, "1 brought back")
        self.assertEqual(Job.objects.get(pk=self.job_id).state, "ready")

    def test_the_list_of_jobs_is_filtered_without_reading_them_all(self):
        self.client.force_login(User.objects.create_superuser("root"))

        with CaptureQueriesContext(connection) as asked:
            answer = self.client.get("/admin/howdah/job/?state=failed")

        self.assertContains(answer, "?state=scheduled")
        self.assertNotContains(answer, str(self.job_id))
        self.assertNotIn("DISTINCT", str(asked.captured_queries))

    def test_whoever_may_only_look_cannot(self):
        user = User.objects.create_user("looks", is_staff=True)
        from django.contrib.auth.models import Permission

        user.user_permissions.add(Permission.objects.get(codename="view_job"))
        self.client.force_login(user)

        self.client.post(
            "/admin/howdah/job/", {"action": "cancel", "_selected_action": [str(self.job_id)]}
        )

        self.assertEqual(Job.objects.get().state, "ready")

    def test_the_command_looks_into_the_same_database(self):
        out = StringIO()
        call_command("howdah", "config", "--json", stdout=out)

        self.assertIn("howdah.django.program:app", out.getvalue())
        self.assertIn(connection.settings_dict["NAME"], out.getvalue())


class Settings(SimpleTestCase):
    """HOWDAH and DATABASES."""

    def test_all_is_well(self):
        self.assertEqual(settings_are_right(), [])
        self.assertEqual(app.settings.slots, 4)

    @override_settings(HOWDAH={"SLOTZ": 3})
    def test_a_setting_that_is_none_is_named(self):
        self.assertIn("'SLOTZ'", settings_are_right()[0].msg)

    @override_settings(HOWDAH={"DATABASE": "other"})
    def test_a_database_that_is_none_is_named(self):
        self.assertIn("no 'other'", settings_are_right()[0].msg)

    @override_settings(HOWDAH={"DATABASE": "jobs"})
    def test_models_are_read_where_the_jobs_are(self):
        self.assertEqual(Job.objects.filter(state="failed").db, "jobs")
        self.assertEqual(Job.objects.using("default").all().db, "default")

        with override_settings(DATABASE_ROUTERS=["shop.tests.Replica"]):
            self.assertEqual(Job.objects.all().db, "replica")

    def test_an_address_survives_the_way_to_django_and_back(self):
        for url in (
            "postgresql://ada:p%40s%2Fs@db.example.org:5433/shop?sslmode=require",
            "postgresql://one:5433,two/shop",
            "postgresql://%2Ftmp%2FMixed/shop",
            "postgresql:///shop?host=/tmp/x&port=5432",
        ):
            entry = database(url)
            held = type("Held", (), {"settings_dict": entry})
            self.assertEqual(database(url_of(held)), entry)
        self.assertEqual(entry["HOST"], "/tmp/x")
        self.assertEqual(database("postgresql://%2Ftmp%2FMixed/shop")["HOST"], "/tmp/Mixed")
        self.assertEqual(database("postgresql://one:5433,two/shop")["PORT"], "5433,")

    def test_an_address_that_cannot_be_read_is_said_to_be_so(self):
        with self.assertRaisesMessage(BadInput, "cannot be read"):
            database("postgresql://ada@db:port/shop")
