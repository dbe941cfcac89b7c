/** A promise's newest value. The last one stays while the next is on its way, so that a picture never goes blank. */
export class Loaded<T> {
  value = $state.raw<T | null>(null);
  failed = $state('');
}

/** Call it while a component is made; `make` runs again when what it reads changes. null: nothing to ask for. */
export function load<T>(make: () => Promise<T> | null): Loaded<T> {
  const loaded = new Loaded<T>();
  $effect(() => {
    let current = true;
    make()?.then(
      (value) => {
        if (!current) return;
        loaded.value = value;
        loaded.failed = '';
      },
      (error: unknown) => {
        if (current) loaded.failed = error instanceof Error ? error.message : 'This could not be read.';
      },
    );
    return () => (current = false);
  });
  return loaded;
}
