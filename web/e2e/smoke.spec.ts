import { expect, test } from './server';

test('the page opens on its sentence, already computed, and says what the API says', async ({ page, site }) => {
  const errors: string[] = [];
  const elsewhere: string[] = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => !request.url().startsWith(site) && elsewhere.push(request.url()));
  await page.goto(site);
  // the first trace of a fresh server reads the weights
  await expect(page.getByRole('option')).not.toHaveCount(0, { timeout: 30_000 });
  const models = await (await page.request.get(`${site}/api/models`)).json();
  const trace = await (
    await page.request.post(`${site}/api/traces`, {
      data: { model: models.default, text: await page.getByLabel('Your sentence').inputValue() },
    })
  ).json();
  const next = await (await page.request.get(`${site}/api/traces/${trace.id}/next?k=1&position=${trace.n_pos - 1}`)).json();
  await expect(page.getByRole('option')).toHaveCount(trace.n_pos);
  const first = page.getByRole('list', { name: 'Candidates' }).getByRole('button').first();
  await expect(first).toContainText(next.candidates[0].token.display);

  await page.getByRole('button', { name: 'Follow the prediction' }).click();
  await expect(page).toHaveURL(/stop=text/);
  await page.goto(`${site}/?block=0&open=pattern`);
  await expect(page.locator('[data-stage=pattern] [data-site="blocks.0.attn.pattern"]').first()).toBeVisible();
  expect(errors).toEqual([]);
  expect(elsewhere).toEqual([]);
});
