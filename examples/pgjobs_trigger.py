"""Jobs by a trigger, worked off in plain SQL by whatever speaks to the database, as in pgjobs.

DATABASE_URL=postgresql://… python pgjobs_trigger.py
"""

import os

import psycopg

TRIGGER = """
create table if not exists orders (id serial primary key, customer text not null);

create or replace function orders_changed() returns trigger language plpgsql as $$
begin
    perform howdah.enqueue('orders.confirm', jsonb_build_object('order', new.id),
                           queue => 'orders');
    return new;
end $$;

create or replace trigger orders_changed after insert on orders
for each row execute function orders_changed();
"""


def main() -> list[tuple[str, int]]:
    """Two orders, of which one is taken back; a loop that claims, acknowledges or refuses."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(TRIGGER)
        with db.transaction():
            db.execute("insert into orders (customer) values ('ada')")
        with db.transaction():
            db.execute("insert into orders (customer) values ('bob')")
            raise psycopg.Rollback
        done = []
        claim = "select id, lease, args from howdah.claim('{orders}', 10)"
        while claimed := db.execute(claim).fetchall():
            for job_id, lease, args in claimed:
                found = db.execute(
                    "select customer from orders where id = %s", (args["order"],)
                ).fetchone()
                if found is None:
                    db.execute("select howdah.nack(%s, %s, 'no such order')", (job_id, lease))
                    continue
                db.execute("select howdah.ack(%s, %s, to_jsonb(%s::text))", (job_id, lease, *found))
                done.append((found[0], args["order"]))
        return done


if __name__ == "__main__":
    print(main())
