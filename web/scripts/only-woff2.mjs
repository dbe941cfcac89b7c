/** KaTeX names each font three times; every browser that runs this page reads woff2, so the wheel carries that alone. */
export function onlyWoff2() {
  return {
    name: 'only-woff2',
    enforce: 'pre',
    transform(code, id) {
      if (!id.includes('katex') || !id.split('?')[0].endsWith('.css')) return null;
      return { code: code.replace(/,\s*url\([^)]+\.(?:woff|ttf)\)\s*format\("[a-z]+"\)/g, ''), map: null };
    },
  };
}
