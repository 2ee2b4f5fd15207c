// Opens report pages in Chromium at three widths, light and dark, and as A4 paper. Fails when something on a page is wider
// than its place; draws docs/report.png and docs/report-phone.png from the first page.
//
//   CHROMIUM=/usr/bin/chromium node pictures.mjs PLAYWRIGHT_CORE RUN.html OTHER.html…

const [, , playwright, ...files] = process.argv;
const { chromium } = await import(playwright);
const WIDTHS = [360, 768, 1100];

/** What is cut off or sticks out of the page, in the page itself. */
function misfits() {
  const screen = document.documentElement.clientWidth;
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const style = getComputedStyle(element);
    const name = `${element.tagName.toLowerCase()}.${element.getAttribute('class') ?? ''}`;
    const { width, right } = element.getBoundingClientRect();
    if (width > 0 && right > screen + 0.5) found.push(`${name} ends at ${Math.round(right)} of ${screen}`);
    if (style.display !== 'inline' && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1)
      found.push(`${name} is ${element.scrollWidth} wide in ${element.clientWidth}`);
  }
  return found;
}

// Chromium refuses its sandbox to root; the pages are our own.
const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
let failed = false;
for (const [index, file] of files.entries()) {
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      await page.goto(`file://${file}`);
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
      for (const misfit of await page.evaluate(misfits)) {
        console.error(`${file} at ${width}, ${colorScheme}: ${misfit}`);
        failed = true;
      }
      await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = false)));
      if (index === 0 && width === 1100 && colorScheme === 'light')
        await page.screenshot({ path: 'docs/report.png', fullPage: true, clip: { x: 0, y: 0, width, height: 1240 } });
      if (index === 0 && width === 360 && colorScheme === 'dark')
        await page.screenshot({ path: 'docs/report-phone.png', fullPage: true, clip: { x: 0, y: 0, width, height: 1240 } });
      await page.close();
    }
  }
  const page = await browser.newPage();
  await page.goto(`file://${file}`);
  const paper = await page.pdf({ format: 'A4' });
  if (paper.length < 10_000) {
    console.error(`${file}: nothing is printed`);
    failed = true;
  }
  await page.close();
}
await browser.close();
console.log(failed ? 'something does not fit' : `${files.length} pages fit at ${WIDTHS.join(', ')} pixels, light and dark`);
process.exit(failed ? 1 : 0);
