"""A server of the Model Context Protocol by its official SDK, on the port that is given."""

import sys

from mcp.server.mcpserver import MCPServer

app = MCPServer("reports")


@app.tool()
def read_report(report: str) -> str:
    """Reads a report."""
    return f"report {report}"


@app.tool()
def delete_all() -> str:
    """Deletes everything."""
    return "gone"


@app.prompt()
def summary(report: str) -> str:
    """Asks for a summary."""
    return f"sum up {report}"


@app.resource("reports://{report}")
def resource(report: str) -> str:
    """A report."""
    return f"resource {report}"


app.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
