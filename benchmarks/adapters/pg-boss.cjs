// pg-boss: jobs of a batch end together; finished ones stay.
const door = require("./door.cjs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const entry = path.join(process.env.NODE_PATH.split(path.delimiter)[0], "pg-boss", "dist", "index.js");
const tuned = { batchSize: 500, burstWhenBatchFull: true, localConcurrency: 2 };

async function main(what) {
  const { PgBoss } = await import(pathToFileURL(entry));
  const { PGHOST, PGPORT, PGUSER, PGDATABASE } = process.env;
  const where = { host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE };
  const boss = new PgBoss({ ...where, ...(door.best ? { useListenNotify: true } : {}) });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  if (what === "setup") {
    await boss.createQueue("noop", door.best ? { notify: true } : {});
  } else if (what === "client") {
    await door.serve({
      one: (n, t) => boss.send("noop", { n, t }),
      bulk: (numbers) => boss.insert("noop", numbers.map((n) => ({ data: { n } }))),
    });
  } else {
    const handle = async (jobs) => jobs.forEach((job) => door.started(job.data.t));
    await door.work(() => boss.work("noop", door.best ? tuned : {}, handle));
  }
}

door.run(main);
