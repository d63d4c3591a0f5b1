//! API of the dashboard at `/dashboard/api/`.

#[cfg_attr(not(test), expect(dead_code, reason = "its routes are not served yet"))]
mod live;
