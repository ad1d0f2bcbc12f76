// The packages are a folder above.
export default { turbopack: { root: `${import.meta.dirname}/..` } };
