// fhir-kit-client of npm against a running exchange: what came of each step, as JSON.
// https://github.com/Vermonster/fhir-kit-client
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { BASE, TOKEN, PATIENT, MODULES } = process.env;
const main = join(MODULES, "fhir-kit-client", "dist", "index.js");
const { Client } = await import(pathToFileURL(main));
const client = new Client({ baseUrl: `${BASE}/fhir`, bearerToken: TOKEN });

const resourceType = "Observation";
const observation = (valueString) => ({
  resourceType,
  status: "final",
  code: { text: "weight" },
  subject: { reference: PATIENT },
  valueString,
});

const created = await client.create({ resourceType, body: observation("first") });
const read = await client.read({ resourceType, id: created.id });
const updated = await client.update({
  resourceType,
  id: created.id,
  body: { ...read, valueString: "second" },
  options: { headers: { "If-Match": 'W/"1"' } },
});

let stale;
try {
  await client.update({
    resourceType,
    id: created.id,
    body: { ...read, valueString: "third" },
    options: { headers: { "If-Match": 'W/"1"' } },
  });
} catch (error) {
  stale = error.response.status;
}

const transaction = await client.transaction({
  body: {
    resourceType: "Bundle",
    type: "transaction",
    entry: ["a", "b", "c", "d"].map((value) => ({
      resource: observation(value),
      request: { method: "POST", url: resourceType },
    })),
  },
});

const pages = [];
let page = await client.search({ resourceType, searchParams: { patient: PATIENT, _count: 2 } });
while (page) {
  pages.push(page.entry.map((each) => each.resource.valueString));
  page = await client.nextPage({ bundle: page });
}

const smart = await client.smartAuthMetadata();
const { tokenUrl } = smart;
const told = { created, read, updated, stale, transaction, pages, tokenUrl };
process.stdout.write(JSON.stringify(told));
