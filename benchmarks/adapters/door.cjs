// What every Node adapter stands on; the orders and answers are those of door.py.
const readline = require("node:readline");

const best = process.argv[2] === "best";
const what = process.argv[3];
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const now = () => process.hrtime.bigint();
const seconds = (since) => Number(now() - since) / 1e9;
const sleep = (length) => new Promise((done) => setTimeout(done, Math.max(0, length * 1000)));
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const told = async () => {
  const { value, done } = await lines.next();
  return done ? null : JSON.parse(value);
};

let count = 0;
let first = 0;
const late = [];
function started(sentAt) {
  const moment = now();
  count += 1;
  if (first === 0) first = Number(moment);
  if (sentAt) late.push(Number(moment - BigInt(sentAt)) / 1e6);
}

const orders = {
  async one(client, { count, within }) {
    for (let n = 0; n < 20; n++) await client.one(n);
    const began = now();
    let done = 0;
    while (done < count && seconds(began) < within) await client.one(done++);
    return { count: done, seconds: seconds(began) };
  },
  async bulk(client, { count, batch }) {
    const began = now();
    for (let from = 0; from < count; from += batch) {
      const size = Math.min(batch, count - from);
      await client.bulk(Array.from({ length: size }, (_, n) => from + n));
    }
    return { count, seconds: seconds(began) };
  },
  async late(client, { count, gap }) {
    for (let n = 0; n < count; n++) {
      const began = now();
      await client.one(n, Number(began));
      await sleep(gap - seconds(began));
    }
    return { count };
  },
};

async function serve(client) {
  say({ ready: true });
  for (let order; (order = await told()) !== null; ) say(await orders[order.do](client, order));
}

async function work(run) {
  say({ ready: true });
  await told();
  let was = 0;
  setInterval(() => {
    if (count !== was) say({ started: (was = count), first });
  }, 20).unref();
  await run();
  await told();
  process.stdout.write(JSON.stringify({ started: count, first, late }) + "\n", () => process.exit(0));
}

function run(main) {
  main(what).then(
    () => what !== "work" && process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { best, started, serve, work, run };
