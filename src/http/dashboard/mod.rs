//! API of the dashboard at `/dashboard/api/`.

mod live;
