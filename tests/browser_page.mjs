// Opens a page in headless Chromium, drops files on it, and prints as JSON what it then says.
//
//   node browser_page.mjs '{"modules": DIRECTORY, "chromium": PATH, "profile": DIRECTORY,
//                           "url": URL, "files": [PATH, ...], "screenshot": PATH}'
//
// `modules` holds node_modules/playwright-core.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const asked = JSON.parse(process.argv[2]);
const {chromium} = createRequire(path.join(asked.modules, 'x.js'))('playwright-core');
const context = await chromium.launchPersistentContext(asked.profile, {
  executablePath: asked.chromium,
  headless: true,
  viewport: {width: 1100, height: 800},
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update',
  ],
});
const page = await context.newPage();
const problems = [];
const requests = [];
page.on('pageerror', (error) => problems.push(String(error)));
page.on('request', (request) => requests.push(request.url()));
await page.goto(asked.url);
const isSettled = () => !document.getElementById('status').textContent.includes('…');
await page.waitForFunction(isSettled, null, {timeout: 60000});
const said = [await page.textContent('#status')];
for (const file of asked.files) {
  const content = readFileSync(file).toString('base64');
  await page.evaluate(async ([name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name));
    const before = document.getElementById('status').textContent;
    document.getElementById('drop').dispatchEvent(
      new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
    while (document.getElementById('status').textContent === before) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }, [path.basename(file), content]);
  await page.waitForFunction(isSettled, null, {timeout: 120000});
  said.push(await page.textContent('#status'));
}
const result = await page.evaluate(() => {
  const {width, height, labels} = window.segmentation ?? {width: 0, height: 0, labels: []};
  const legend = [...document.querySelectorAll('#legend tr')].map((row) => [
    row.cells[0].firstChild.style.background, row.cells[1].textContent, row.cells[2].textContent,
  ]);
  return {width, height, labels: [...labels], legend};
});
if (asked.screenshot) await page.screenshot({path: asked.screenshot});
await context.close();
console.log(JSON.stringify({...result, said, problems, requests}));
