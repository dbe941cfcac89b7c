import type { Plugin } from 'vite';
export function onlyWoff2(): Plugin;
