/** Hands the reader a file. */

export function saveAs(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // the browser has its own hold on the bytes by then
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** “Pattern of head 3” -> "cutaway-pattern-of-head-3.svg" */
export function fileName(title: string, ending: string): string {
  const plain = title.normalize('NFKD').replace(/[^\w\s-]/g, '').trim().toLowerCase().replace(/[\s_-]+/g, '-').slice(0, 60).replace(/-+$/, '');
  return `cutaway-${plain || 'picture'}.${ending}`;
}
