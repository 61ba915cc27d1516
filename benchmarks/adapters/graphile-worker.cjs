// graphile-worker: it deletes what succeeded.
const door = require("./door.cjs");
const { run, makeWorkerUtils, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const logger = new Logger(() => (level, message) => level === "error" && console.error(message));
const CONCURRENT = 24;
const tuned = {
  concurrentJobs: CONCURRENT,
  maxPoolSize: CONCURRENT + 1,
  localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

async function main(what) {
  const pgPool = new Pool({ max: door.best && what === "work" ? CONCURRENT + 1 : 10 });
  pgPool.on("error", () => {});
  await pgPool.query("select 1");
  if (what === "work") {
    const taskList = { noop: async (payload) => door.started(payload.t) };
    const preset = { worker: { ...(door.best ? tuned : {}), logger } };
    await door.work(() => run({ preset, logger, pgPool, taskList, noHandleSignals: true }));
    return;
  }
  const utils = await makeWorkerUtils({ pgPool, logger });
  if (what === "setup") return utils.migrate();
  await door.serve({
    one: (n, t) => utils.addJob("noop", { n, t }),
    bulk: (numbers) =>
      utils.addJobs(numbers.map((n) => ({ identifier: "noop", payload: { n } }))),
  });
}

door.run(main);
