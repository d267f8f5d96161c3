//! A source of tokens against a strict token endpoint.

#[cfg(test)]
mod tokens;
