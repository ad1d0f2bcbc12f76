/** Calls the listeners there are. One that goes meanwhile is not called any more; one that throws does not stop the others. */
export function notifyAll(listeners: Set<() => void>): void {
  for (const listener of [...listeners]) {
    if (!listeners.has(listener)) continue;
    try {
      listener();
    } catch (error) {
      // Reported as an uncaught error, after the others.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
